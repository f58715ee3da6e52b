"""The docs name what exists: files, links, keys of a profile; and their commands run."""

import ast
import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECTIONS = ROOT / "harness" / "profiles" / "sections.py"
PARTS = {
    "Launch": "launch",
    "Evaluate": "evaluate",
    "Measure": "measure",
    "Train": "train",
    "Figures": "figures",
    "Dataset": "datasets.NAME",
    "Rates": "rates",
    "Plugins": "plugins",
}
"""The sections of a profile, by the classes that describe them."""
NEEDS = re.compile(r"#.*\b(needs|hours|minutes|runs until)\b|\bsudo\b|\bFILE\b|\bDIR\b|^(make|export)\b|tests/slurm")
"""Commands that need a cluster, files of one's own or long: shown, and run elsewhere or not at all."""


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{target} is not there"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, target


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:harness|jobs|models|results|tests|benchmarks|docs)/[\w./-]+)`", page.read_text()):
        assert (ROOT / name).exists(), name


def test_the_method_metric_and_model_of_the_docs_work(tmp_path: Path) -> None:
    names = [name for name in files() if name.endswith(".py")]
    assert names == ["methods/norm.py", "methods/confidence.py", "methods/sizes.py"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(files()[name])
    script = (
        "import torch; from jobs.spec.plugins import load_plugins; from models import create_model\n"
        "from results.metrics import MEASURES\n"
        f"load_plugins([{str(tmp_path / 'methods')!r}])\n"
        "model, clips = create_model('vit_demo', 'norm:r=12', num_classes=16).eval(), torch.zeros(1, 3, 16, 56, 56)\n"
        "print(tuple(model(clips).shape), 0 < float(MEASURES['confidence'](model, clips)) < 1)\n"
        "print(tuple(create_model('vit_tiny', 'norm:r=48')(torch.zeros(1, 3, 16, 224, 224)).shape))\n"
        "with torch.device('meta'): long = create_model('swin3d_long', 'norm:r=192')\n"
        "print(tuple(long(torch.zeros(1, 3, 64, 224, 224, device='meta')).shape))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("(1, 16) True\n(1, 400)\n(1, 400)\n", 0), done.stderr


def test_the_front_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def reference() -> list[str]:
    """The lines of the profile reference: each key of each section, what it is unless set, and its docstring."""
    lines = []
    for node in ast.parse(SECTIONS.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name in PARTS:
            for one, said in pairwise(node.body):
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(said, ast.Expr):
                    default = ast.unparse(one.value) if one.value else "needed"
                    default = default.replace("field(default_factory=dict)", "{}").replace("'", '"')
                    text = " ".join(str(ast.literal_eval(said.value)).split())
                    lines.append(f"| `{PARTS[node.name]}.{one.target.id}` | `{default}` | {text} |")
    return lines


def test_every_key_of_a_profile_is_in_the_reference() -> None:
    shown = (ROOT / "docs" / "your-data-and-cluster.md").read_text().splitlines()
    assert [line for line in shown if line.startswith("| `") and "` | `" in line] == reference()


def commands() -> list[str]:
    """The commands of the docs that run by themselves; a line that ends in a backslash goes on."""
    found: dict[str, None] = {}
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        blocks += re.findall(r"(?:^    (?:python|make) .*\n)+", text, re.MULTILINE)
        for block in blocks:
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                if line.strip() and not NEEDS.search(line.strip()):
                    found[re.sub(r"\s+#.*", "", line.strip())] = None
    return list(found)


def test_the_docs_have_commands() -> None:
    assert "python -m harness.sweep table2" in commands()
    assert len(commands()) > 8


def test_every_command_of_the_docs_runs(tmp_path: Path) -> None:
    """In order, in one folder, as a reader gives them; what is measured is measured on a few videos."""
    (tmp_path / "harness.toml").write_text((ROOT / "harness" / "profiles" / "demo.toml").read_text())
    for name, block in files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    for command in commands():
        line = command.replace("python ", f"{shlex.quote(sys.executable)} ", 1)
        if "harness.sweep" in line and "--dry-run" not in line and "--list" not in line:
            line += " --limit 2 --set measure.samples=5 --set figures.videos=1"
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def files() -> dict[str, str]:
    """The files that the docs give whole: a block whose first line names its file in a comment."""
    found = {}
    for page in PAGES:
        whole = re.findall(r"^```(?:toml|python)\n# (\S+\.(?:toml|py))\n(.*?)^```", page.read_text(), re.M | re.S)
        found |= dict(whole)
    return found
