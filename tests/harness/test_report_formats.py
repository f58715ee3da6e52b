"""The forms a report has: for a terminal, for a pipe, as a page, as plots."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from harness import report, sweep
from jobs.spec.cells import Cell
from tests.harness.made import make_planner, make_profile, put_job, put_record

GRID = """
title = "Drop numbers of ViT-B"
model = "vit_base"
dataset = "k400"
views = "5x3"
[rows]
reduction = ["none", "sta:r=48", "sta:r=64"]
[columns]
metric = ["top1", "gflops"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A grid of accuracies and GFLOPs, measured but for one, with a hostile name among what was skipped."""
    monkeypatch.chdir(tmp_path)
    make_profile(tmp_path)
    (tmp_path / "grid.toml").write_text(GRID)
    skipped = [{"video": "<script>alert(1)</script>.mp4", "reason": "truncated"}]
    for reduction, top1, gflops in (("none", 61, 180.5), ("sta:r=48", 60, 115.9)):
        demo = reduction.replace("48", "12")
        counts, samples = {"evaluated": 63, "listed": 64}, {"correct": top1}
        put_record(
            tmp_path / "runs", Cell("vit_demo", demo, "motion", "5x3", "top1"), 100 * top1 / 63, status="partial",
            counts=counts, samples=samples, skipped=skipped,
        )  # fmt: skip
        put_record(tmp_path / "runs", Cell("vit_base", reduction, "", "", "gflops"), gflops)
    return tmp_path


def main(*arguments: str) -> int:
    return report.main(["grid.toml", "--profile", "small.toml", *arguments])


def on_a_terminal(*arguments: str, columns: int, **environment: str) -> tuple[str, int]:
    """What the command writes to a terminal of so many columns, and its exit code."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "harness.report", "grid.toml", "--profile", "small.toml", *arguments]
    # Its window's size is what it asks for first.
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm-256color"} | environment
    process = subprocess.Popen(command, stdout=its, stdin=its, env=environment)
    os.close(its)
    said = b""
    while chunk := _read(ours):
        said += chunk
    os.close(ours)
    return said.decode().replace("\r\n", "\n"), process.wait(60)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # how a terminal ends
        return b""


def test_a_pipe_gets_plain_markdown_and_the_drops(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "### Drop numbers of ViT-B\n" in said
    assert "change from r = 0, in points" in said
    assert "-1.59" in said


def test_programs_get_each_cell_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["table"] for row in rows} == {"grid"}
    assert len(rows) == 6
    assert main("--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 6


@pytest.mark.parametrize("columns", [40, 100])
def test_a_terminal_gets_colours_and_lines_no_wider_than_itself(folder: Path, columns: int) -> None:
    said, code = on_a_terminal(columns=columns)
    assert code == 0
    assert "\x1b[" in said
    plain, _ = on_a_terminal(columns=columns, NO_COLOR="1")
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= columns
    assert "95.24" in plain
    assert "115.9" in plain


def test_a_page_on_a_terminal_goes_to_a_file_that_is_named(folder: Path) -> None:
    said, code = on_a_terminal("--format", "html", columns=100)
    assert (said, code) == ("the report is in runs/report.html; open it in a browser\n", 0)
    assert "Drop numbers of ViT-B" in (folder / "runs" / "report.html").read_text()


def test_a_page_in_a_pipe(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--format", "html") == 0
    page = capsys.readouterr().out
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert "change from r = 0" in page
    assert "grid-top1-gflops-point-0" in page
    assert "<script>alert(1)" not in page
    assert "alert(1)" in page


def test_plots_are_written_beside_the_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--plots", "pictures/new") == 0
    names = sorted(path.name for path in (folder / "pictures" / "new").iterdir())
    assert names == ["grid-top1-gflops.pdf", "grid-top1-gflops.svg"]
    said = capsys.readouterr()
    assert "2 files of plots are in pictures/new" in said.err
    assert "### Drop numbers" in said.out
    (folder / "file").write_text("")
    assert main("--plots", "file") == 2
    assert capsys.readouterr().err == "error: cannot write plots into file: it is not a folder\n"


def test_without_anything_to_draw_no_folder_is_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--plots", "pictures", "--runs", "elsewhere") == 0
    assert "there is nothing to draw yet" in capsys.readouterr().err
    assert not (folder / "pictures").exists()


def test_the_drops_say_what_stands_in_for_what(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--format", "latex") == 0
    table, drops = capsys.readouterr().out.split(r"\label{tab:grid-drops}")
    for text in (table, drops):
        assert "stands in for vit\\_base on k400; r is scaled by 49/196" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--serve", "--plots", "pictures"), "error: argument --plots: not allowed with argument --serve\n"),
        (("--port", "8001"), "error: argument --port: only allowed with argument --serve\n"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    folder: Path, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(*options)
    assert (ended.value.code, capsys.readouterr().err) == (2, said)


def test_without_results_a_page_is_a_page_all_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["--profile", "small.toml", "--format", "html", "--runs", "elsewhere"]) == 0
    said = capsys.readouterr()
    assert said.out.lower().startswith("<!doctype html>")
    assert said.err.startswith("there is no folder elsewhere yet")


def test_a_page_that_cannot_be_written_is_said_with_its_folder(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said, code = on_a_terminal("--format", "html", "--runs", "elsewhere", columns=200)
    assert (said, code) == ("", 2)
    assert capfd.readouterr().err == (
        "error: cannot write elsewhere/report.html: elsewhere is not there; --format html > FILE writes it elsewhere\n"
    )


def test_two_tables_of_one_name_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "grid.toml").write_text(GRID.replace('"sta:r=64"', '"sta:r=80"'))
    said = "error: grid.toml and other/grid.toml are both called 'grid'; give one of the files another name\n"
    for tool in (report.main, sweep.main):
        assert tool(["grid.toml", "other/grid.toml", "--profile", "small.toml"]) == 2
        assert capsys.readouterr().err == said
    (folder / "grid-drops.toml").write_text(GRID)
    assert report.main(["grid.toml", "grid-drops.toml", "--profile", "small.toml"]) == 2
    assert capsys.readouterr().err.startswith("error: grid-drops.toml: grid-drops is what the drops of grid are called")
    assert report.main(["grid.toml", "./grid.toml", "--json", "--profile", "small.toml"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 6


@pytest.mark.parametrize("options", [("--format", "html", "--json"), ("--serve", "--json"), ("--format", "pdf")])
def test_one_form_at_a_time(folder: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(*options)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: argument ")
    assert said.count("\n") == 1


def test_a_served_page_follows_the_records(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = []

    def serve(make_page, port: int) -> None:
        pages.append(make_page())
        put_record(folder / "runs", Cell("vit_base", "sta:r=64", "", "", "gflops"), 96.5, id="later")
        pages.append(make_page())
        assert port == 8123

    monkeypatch.setattr("harness.reporting.serve.serve", serve)
    assert main("--serve", "--port", "8123") == 0
    assert "96.5" not in pages[0]
    assert "96.5" in pages[1]


def test_a_table_of_ones_own_is_told_of_where_it_is_not_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_planner(folder).job([Cell("vit_demo", "none", "motion", "5x3", "top1")])
    put_job(folder / "runs", job)  # of a table called grid
    assert report.main(["--profile", "small.toml"]) == 0
    assert "warning: grid: also swept in runs; name its TOML file to show it\n" in capsys.readouterr().err
    assert main() == 0
    assert "swept in runs too" not in capsys.readouterr().err
