"""The report's command: its formats, what it shows without tables, damaged records, many rows, odd terminals."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.spec.cells import Cell
from tests.harness.made import make_grid, put_record, small_profile
from tests.harness.test_report import demo_cell, main


def test_json_has_just_these_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_profile(tmp_path)
    record = put_record(tmp_path / "runs", demo_cell(), 95.3125)
    assert main(tmp_path, "table2", "--json") == 0
    cells = json.loads(capsys.readouterr().out)
    assert len(cells) == 20
    names = ["table", "row", "column", "metric", "value", "published", "status", "record", "note", "inferred"]
    assert all(list(cell) == names for cell in cells)
    first = cells[0]
    assert {name: first[name] for name in names[:8]} == {
        "table": "table2",
        "row": "2x3",
        "column": "r=0",
        "metric": "top1",
        "value": 95.3125,
        "published": 83.36,
        "status": "done",
        "record": record.id,
    }
    assert {(cell["status"], cell["value"], cell["record"]) for cell in cells[1:]} == {("pending", None, None)}


@pytest.mark.parametrize("format", ["github", "latex", "csv"])
def test_every_format_shows_value_and_print(tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str) -> None:
    small_profile(tmp_path)
    put_record(tmp_path / "runs", demo_cell(), 95.3125)
    assert main(tmp_path, "table2", "--format", format) == 0
    text = capsys.readouterr().out
    assert "83.36" in text
    assert "95.31" in text


def test_without_tables_those_that_have_something(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_profile(tmp_path)
    assert main(tmp_path) == 0
    hint = f"python -m harness.sweep table2 --profile {tmp_path / 'small.toml'} --runs {tmp_path / 'runs'}"
    assert capsys.readouterr().err == f"there is no folder {tmp_path / 'runs'} yet; begin with {hint}\n"
    put_record(tmp_path / "runs", Cell("vit_large", "sta:r=64", "", "", "gflops"), 308.0)
    assert main(tmp_path) == 0
    text = capsys.readouterr().out
    assert "Table 3" in text
    assert "STA supplement, Table 2" not in text


def test_damaged_records_are_named_and_the_rest_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_profile(tmp_path)
    put_record(tmp_path / "runs", demo_cell(), 95.0)
    (tmp_path / "runs" / "records" / "half.json").write_text('{"id": "ha')
    assert main(tmp_path, "table2", "--json") == 0
    printed = capsys.readouterr()
    assert printed.err == "warning: records/half.json is ignored: not whole JSON\n"
    assert json.loads(printed.out)[0]["value"] == 95.0


def test_a_thousand_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    small_profile(tmp_path)
    reductions = [f"random:r={r % 90},seed={r}" for r in range(1, 1001)]
    for number, reduction in enumerate(reductions):
        put_record(tmp_path / "runs", Cell("vit_small", reduction, "", "", "gflops"), float(number), f"r{number}")
    # r = 0 drops nothing: those rows are the plain model's.
    put_record(tmp_path / "runs", Cell("vit_small", "none", "", "", "gflops"), -1.0)
    grid = make_grid(tmp_path / "big.toml", reductions)
    assert main(tmp_path, str(grid), "--json") == 0
    cells = json.loads(capsys.readouterr().out)
    expected = [float(number) if (number + 1) % 90 else -1.0 for number in range(1000)]
    assert [cell["value"] for cell in cells] == expected
    assert main(tmp_path, str(grid)) == 0
    assert len(capsys.readouterr().out.splitlines()) > 1000


def test_whoever_stops_reading_does_not_see_a_traceback(tmp_path: Path) -> None:
    small_profile(tmp_path)
    grid = make_grid(tmp_path / "big.toml", [f"random:r=1,seed={seed}" for seed in range(3000)])
    command = f"{sys.executable} -m harness.report {grid} --json --profile {tmp_path}/small.toml | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[\n", "")


def test_a_terminal_without_our_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_profile(tmp_path)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    command = [sys.executable, "-m", "harness.report", "table3", "--profile", str(tmp_path / "small.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 stages ?" in done.stdout


def test_rows_that_are_printed_only_are_shown_and_count_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_profile(tmp_path)
    assert main(tmp_path, "main-table5", "--format", "github") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| TimeSformer-L")]
    assert [part.strip() for part in line.split("|")[1:-1]] == ["TimeSformer-L (1×3)", "–", "5549", "", "–", "62.4", ""]
    assert main(tmp_path, "main-table5", "--format", "html") == 0
    page = capsys.readouterr().out
    assert "<b>0 of 8</b> cells have a value" in page
    put_record(tmp_path / "runs", demo_cell(), 95.0)
    assert main(tmp_path) == 0
    assert "Table 5" not in capsys.readouterr().out, "nothing of it was measured"
