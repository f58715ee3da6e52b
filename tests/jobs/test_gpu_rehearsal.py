"""The one command for a GPU, rehearsed on a CPU, so that no line of it runs for the first time there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.place import Place, Result

REPOSITORY = Path(__file__).parents[2]


def test_all_parts_run_and_the_page_is_complete(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--small", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    ended = [line for line in done.stdout.splitlines() if " in " in line and (": done" in line or ": failed" in line)]
    assert done.returncode == 0, [*ended, done.stderr[-2000:]]
    content, page = json.loads((tmp_path / "results.json").read_text()), (tmp_path / "page.md").read_text()
    assert list(content["parts"]) == list(gpu.PARTS)
    for name, part in content["parts"].items():
        assert not part["error"]
        assert f"## {name.capitalize()}" in page
        for result in part["results"]:
            assert result["rows"], result["title"]
            assert all(len(row) == len(result["headers"]) for row in result["rows"])
            assert f"### {result['title']}" in page
    assert "a rehearsal with small models" in page
    assert "WRONG" not in page
    ways = {row[3] for row in content["parts"]["forward"]["results"][1]["rows"]}
    assert ways == {"eager", "public", "compiled"}


def test_a_part_that_fails_is_reported_and_the_next_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(place: Place) -> list[Result]:
        raise RuntimeError("no such kernel")

    def works(place: Place) -> list[Result]:
        assert 0 < place.left <= 60
        return [Result("Something", ["a"], [["1"]])]

    monkeypatch.setattr(gpu, "PARTS", {"first": (fails, 0.5), "second": (works, 0.5)})
    arguments = ["--device", "cpu", "--minutes", "1", "--out", str(tmp_path), "--parts", "first", "second"]
    assert gpu.main(arguments) == 1
    page = (tmp_path / "page.md").read_text()
    assert "**failed**: RuntimeError: no such kernel" in page
    assert "### Something" in page


def test_golden_logits_that_are_not_those_fail_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Result("Golden logits", ["case", ""], [["STA", "WRONG"], ["none", "right"]])
    for name, found in (("_golden", wrong), ("_halves", Result("Halves", [])), ("_step", Result("A step", []))):
        monkeypatch.setattr(f"benchmarks.gpu.correctness.{name}", lambda place, found=found: found)
    arguments = ["--device", "cpu", "--small", "--out", str(tmp_path), "--parts", "correctness"]
    assert gpu.main(arguments) == 1
    assert "- WRONG: STA" in (tmp_path / "page.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--device", "tpu"], "invalid choice"), (["--parts", "all"], "choose")]
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
