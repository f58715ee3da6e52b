"""The one command for a GPU, rehearsed on a CPU, so that no line of it runs for the first time there."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import correctness, ways
from benchmarks.gpu.machine import clocks_during
from benchmarks.gpu.place import Place, Result

REPOSITORY = Path(__file__).parents[2]


def test_all_parts_run_and_the_page_is_complete(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--small", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    ended = [line for line in done.stdout.splitlines() if ": done in" in line or ": failed in" in line]
    assert done.returncode == 0, [*ended, done.stderr[-2000:]]
    content, page = json.loads((tmp_path / "results.json").read_text()), (tmp_path / "page.md").read_text()
    assert list(content["parts"]) == list(gpu.SHARES)
    for name, part in content["parts"].items():
        assert not part["error"]
        assert f"## {name.capitalize()}" in page
        for result in part["results"]:
            assert result["rows"], result["title"]
            assert all(len(row) == len(result["headers"]) for row in result["rows"])
            assert f"### {result['title']}" in page
    assert "a rehearsal with small models" in page
    assert "WRONG" not in page
    assert len(list((tmp_path / "records").glob("*.json"))) == 33
    (ways,) = content["parts"]["ways"]["results"]
    assert {row[3] for row in ways["rows"]} == {"public", "compiled"}
    (commands,) = content["parts"]["commands"]["results"]
    assert [row[:1] + row[2:4] for row in commands["rows"]] == [
        ["table2", "20 of 20", "cpu"],
        ["table1", "12 of 12", "cpu"],
        ["end-to-end", "2 of 2", "cpu"],
    ]


PART = "import json, os, sys, time; from pathlib import Path; file = Path(sys.argv[4]); "
TABLE = {"title": "Something", "headers": ["a"], "rows": [["1"]], "notes": []}


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("file.write_text(json.dumps({said!r})); sys.exit(1)", "RuntimeError: no such kernel"),
        ("file.write_text(json.dumps({kept!r})); os.abort()", "its process ended with -6"),
        ("file.write_text(json.dumps({kept!r})); time.sleep(60)", "stopped after 1 s, without an end"),
    ],
    ids=["says so", "is killed", "does not end"],
)
def test_a_part_that_fails_is_reported_with_what_it_measured_and_the_next_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, said: str
) -> None:
    kept = {"error": "", "results": [TABLE]}
    failing = does.format(kept=kept, said=kept | {"error": said})
    code = f"{PART}sys.argv[1] == 'training' and [file.write_text(json.dumps({kept!r})), sys.exit(0)]; {failing}"
    monkeypatch.setattr(gpu, "COMMAND", (sys.executable, "-c", code))
    monkeypatch.setattr(gpu, "GRACE", 0.0)
    monkeypatch.setattr(gpu, "SHARES", {"correctness": 0.5, "training": 0.5})
    arguments = ["--device", "cpu", "--minutes", "0.03", "--out", str(tmp_path)]
    assert gpu.main(arguments) == 1
    page = (tmp_path / "page.md").read_text()
    assert f"**failed**: {said}" in page
    assert page.count("### Something") == 2
    assert page.count("**failed**") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"page.md", "results.json"}


def make_place(folder: Path, left: float = 60.0, small: bool = False) -> Place:
    return Place("cpu", small, folder, folder / "results.json", time.monotonic() + left)


def test_a_measurement_that_fails_leaves_those_after_it(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    result = place.table("Something", "a")

    def fails() -> None:
        raise RuntimeError("no such kernel\nand more")

    def too_large() -> None:
        raise torch.OutOfMemoryError

    place.attempt(result, "the first", 1, fails)
    place.attempt(result, "the second", 1, too_large)
    place.attempt(result, "the third", 1, lambda: result.add("1"))
    place.attempt(result, "the fourth", 61, lambda: result.add("2"))
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["error"] == "the first: RuntimeError: no such kernel"
    assert written["results"][0]["rows"] == [["1"]]
    assert written["results"][0]["notes"] == [
        "failed: the first: RuntimeError: no such kernel",
        "not measured, as the device has too little memory: the second",
        "left out, as time ran out: the fourth",
    ]


def test_a_rehearsal_leaves_nothing_out(tmp_path: Path) -> None:
    place = make_place(tmp_path, left=-5, small=True)
    place.attempt(place.table("Something", "a"), "it", 10, lambda: place.results[0].add("1"))
    assert place.results[0].rows == [["1"]]


def test_golden_logits_that_are_not_those_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a check that cannot be made does not hide them, nor the checks after it."""

    def wrong(place: Place, result: Result) -> None:
        result.add("STA", "WRONG")
        result.add("none", "right")
        raise RuntimeError("no such kernel")

    def right(place: Place, result: Result) -> None:
        result.add("none", "right")

    monkeypatch.setattr(correctness, "CHECKS", ((wrong, "First", ("case", "")), (right, "Second", ("case", ""))))
    place = make_place(tmp_path)
    correctness.run(place)
    assert place.results[0].notes == ["failed: First: RuntimeError: no such kernel", "WRONG: STA"]
    assert place.results[1].rows == [["none", "right"]]
    assert place.error == "First: RuntimeError: no such kernel"


def test_a_graph_is_made_after_a_warm_up_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for what only a GPU has."""
    done: list[str] = []

    class Graph:
        def replay(self) -> None:
            done.append("replay")

    @contextmanager
    def capture(graph: Graph) -> Iterator[None]:
        done.append("capture")
        yield
        done.append("end")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    replay = ways._graphed(lambda: done.append("call"), torch.device("cpu"))
    replay()
    assert done == ["call", "call", "call", "capture", "call", "end", "replay"]


def test_clocks_are_told_while_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    calls: list[int] = []
    assert clocks_during(lambda: calls.append(1)) == "nvidia-smi tells no clocks"
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\nsleep 0.2\necho '1980 MHz, 2619 MHz, 640.12 W, 55'\n")
    script.chmod(0o755)
    assert clocks_during(lambda: calls.append(1)) == (
        "clocks.sm 1980 MHz, clocks.mem 2619 MHz, power.draw 640.12 W, temperature.gpu 55"
    )
    assert calls
    script.write_text("#!/bin/sh\necho 'No devices were found'\n")
    assert clocks_during(lambda: None) == "nvidia-smi tells no clocks"


def test_a_wrong_number_fails_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"error": "", "seconds": 1.0, "results": [TABLE | {"notes": ["WRONG: STA"]}]}
    monkeypatch.setattr(gpu, "run_part", lambda *given: found)
    assert gpu.main(["--device", "cpu", "--out", str(tmp_path), "--parts", "correctness"]) == 1
    assert "- WRONG: STA" in (tmp_path / "page.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "tpu"], "invalid choice"),
        (["--parts", "all"], "choose"),
        (["--device", "cpu", "--minutes", "0"], "--minutes must be more than 0, not 0"),
        (["--device", "cpu", "--out", __file__], f"--out {__file__}: File exists"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
