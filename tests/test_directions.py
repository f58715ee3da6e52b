"""Imports point one way: between the four packages, between the wings of harness/ and the folders of jobs/."""

import ast
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("harness", "jobs", "models", "results")
LOWER = {"harness": ("jobs", "models", "results"), "jobs": ("models", "results"), "models": (), "results": ()}
"""Which of the other packages each one may import."""
CONTROL = ("jobs.spec", "jobs.data", "jobs.cost", "jobs.run", "jobs.node", "jobs.work.probe")
"""What harness/ may import of jobs/: what a job is, and what it has run elsewhere."""
FLOORS = {
    "harness": (
        ("export", "import"),
        ("sweep", "report", "status", "doctor", "datasets"),
        ("arguments",),
        ("reporting",),
        ("following", "checking"),
        ("running",),
        ("planning",),
        ("tables",),
        ("profiles",),
    ),
    "jobs": (("run", "cost"), ("work",), ("training", "figures"), ("data",), ("node",), ("spec",)),
}
"""Files and folders of a package, from the top; those of one floor do not import each other."""

Imports = dict[str, set[str]]


def imports(root: Path) -> Imports:
    """What each module of the packages under `root` imports of them, wherever in the file."""
    files = {".".join(path.relative_to(root).with_suffix("").parts): path for path in python_files(root)}
    modules = {name.removesuffix(".__init__"): path for name, path in files.items()}
    return {name: set(imported(path, set(modules))) - {name} for name, path in modules.items()}


def python_files(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        yield from (root / package).rglob("*.py")


def imported(path: Path, modules: set[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def upward(found: Imports) -> list[str]:
    """The imports that point the wrong way, as `importer imports imported`."""
    wrong = []
    for name, names in found.items():
        package = name.partition(".")[0]
        for other in names:
            target = other.partition(".")[0]
            if target == package and package not in FLOORS:
                continue
            if target != package:
                allowed = target in LOWER[package]
                if (package, target) == ("harness", "jobs"):
                    allowed = other.startswith(CONTROL)
            else:
                allowed = folder(name) == folder(other) or floor(name) < floor(other)
            if not allowed:
                wrong.append(f"{name} imports {other}")
    return sorted(wrong)


def folder(name: str) -> str:
    """The file or folder at the top of its package that a module is in."""
    return name.split(".")[1] if "." in name else ""


def floor(name: str) -> float:
    """How far down in its package a module is. A package itself is above all that is in it."""
    floors = FLOORS.get(name.partition(".")[0], ())
    return next((number for number, names in enumerate(floors) if folder(name) in names), -math.inf)


def circle(found: Imports) -> list[str]:
    """Modules that import each other in a circle; empty where there are none."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(found[name]):
            if around := walk(other, [*path, name]):
                return around
        done.add(name)
        return []

    return next(filter(None, (walk(name, []) for name in sorted(found))), [])


def test_no_import_points_upwards() -> None:
    assert upward(imports(ROOT)) == []


def test_no_imports_go_in_a_circle() -> None:
    assert circle(imports(ROOT)) == []


def test_everything_in_the_packages_has_a_floor() -> None:
    for package, floors in FLOORS.items():
        there = {
            path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        assert there - {"__init__"} == {name for names in floors for name in names}


def test_every_folder_says_what_it_is_for() -> None:
    for path in python_files(ROOT):
        first = path.parent / "__init__.py"
        assert first.is_file(), f"{path.parent} has no __init__.py"
        assert ast.get_docstring(ast.parse(first.read_text())), f"{first} does not say what the folder is for"


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        (
            "harness/planning/plan.py",
            "from harness.running import launch",
            "harness.planning.plan imports harness.running.launch",
        ),
        (
            "harness/following/watch.py",
            "import harness.checking.trial",
            "harness.following.watch imports harness.checking.trial",
        ),
        ("models/vit.py", "from results.records import Record", "models.vit imports results.records"),
        ("results/files.py", "def late():\n    import jobs.run", "results.files imports jobs.run"),
        ("jobs/spec/jobs.py", "from jobs.data import labels", "jobs.spec.jobs imports jobs.data.labels"),
        ("harness/report.py", "from jobs.work import evaluate", "harness.report imports jobs.work.evaluate"),
        (
            "harness/reporting/fill.py",
            "from harness import arguments",
            "harness.reporting.fill imports harness.arguments",
        ),
    ],
)
def test_an_import_turned_round_is_found(file: str, line: str, said: str, tmp_path: Path) -> None:
    for path in python_files(ROOT):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    with open(tmp_path / file, "a") as end:
        end.write(f"\n{line}\n")
    assert upward(imports(tmp_path)) == [said]


def test_a_circle_is_found() -> None:
    around = circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert around[0] == around[-1]
    assert set(around) == {"a", "b", "c"}
    assert all(other in {"a": "b", "b": "c", "c": "a"}[one] for one, other in pairwise(around))


def test_files_are_short_enough_to_read() -> None:
    long = [str(path.relative_to(ROOT)) for path in python_files(ROOT) if len(path.read_text().splitlines()) > 300]
    assert long == []
