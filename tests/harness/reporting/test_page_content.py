"""What the HTML report gathers from a runs folder: which job a cell is of, ends of logs, figures and their limits."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.reporting import page_content as gathering
from harness.reporting.fill import view_table
from harness.reporting.page_content import build_page
from harness.tables import load_table
from jobs.spec.cells import Cell
from jobs.spec.jobs import Count
from results.attempts import submission_folder
from results.files import write_json
from results.progress import read_progress
from results.records import best_by_cell, read_records
from results.render.page import Page, render_page
from results.render.plot import Plot, Point, Series
from tests.harness.made import put_job, put_progress, put_record, small_profile
from tests.results.render.made_page import HOSTILE, figure_content

GFLOPS = Cell("vit_large", "sta:r=64", "", "", "gflops")
"""Of table3: 3 stages, and the same spelled out."""
STAGE = {"block": 1, "kept": ["01" * 24 + "1"] * 8, "maps": {}}
PLACE = ("table3", "3 stages", "GFLOPs")


def build(tmp_path: Path, plots: tuple[Plot, ...] = (), live: bool = False) -> Page:
    runs, profile, table = tmp_path / "runs", small_profile(tmp_path), load_table("table3")
    records, warnings = read_records(runs)
    best, jobs = best_by_cell(records), read_progress(runs)
    view = view_table(table, profile, best, jobs, runs)
    return build_page([view], profile.name, records, jobs, runs, plots, warnings, live)


def plot_of(record: str) -> Plot:
    return Plot("one", "One", "x", "y", (Series("s", (Point(1.0, 2.0, "p", record=record),)),))


def put_failed(tmp_path: Path, log: str = "it broke", cells: tuple[Cell, ...] = (GFLOPS,)) -> Count:
    job, runs = Count(cells, "meta"), tmp_path / "runs"
    name = put_job(runs, job, executor="local", id="1")
    put_progress(runs, job.id, state="failed", error="it broke", submission=name)
    (submission_folder(runs, name) / "process.log").write_text(log)
    return job


def test_records_behind_tables_and_plots_are_there_and_no_others(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    put_record(runs, GFLOPS, 308.0, "shown")
    put_record(runs, Cell("vit_small", "none", "", "", "gflops"), 57.0, "plotted")
    put_record(runs, Cell("vit_base", "none", "", "", "gflops"), 180.0, "elsewhere")
    (runs / "records" / "half.json").write_text('{"id": "ha')
    found = build(tmp_path, (plot_of("plotted"),))
    assert [record.id for record in found.records] == ["shown", "plotted"]
    assert found.total == 3
    assert found.warnings == ["records/half.json is ignored: not whole JSON"]
    assert found.made
    assert not build(tmp_path, live=True).made


def test_a_failed_cell_has_its_job_with_the_end_of_its_log(tmp_path: Path) -> None:
    job = put_failed(tmp_path, "".join(f"line {number}\n" for number in range(500)))
    found = build(tmp_path)
    assert found.attempts[PLACE] == job.id
    told = found.jobs[job.id]
    assert (told.state, told.text) == ("failed", "it broke")
    (log,) = told.logs
    assert log.path.startswith("logs/")
    assert log.text.splitlines()[-1] == "line 499"
    assert len(log.text.splitlines()) == gathering.LINES_FAILED
    assert "it broke" in render_page(found)


def test_the_job_of_a_record_is_there_and_no_attempt(tmp_path: Path) -> None:
    job, runs = Count((GFLOPS,), "meta"), tmp_path / "runs"
    put_record(runs, GFLOPS, 308.0, job.record_id(GFLOPS), job=job.id)
    name = put_job(runs, job, executor="local", id="1")
    put_progress(runs, job.id, state="done", submission=name)
    found = build(tmp_path)
    assert PLACE not in found.attempts
    assert found.jobs[job.id].state == "done"


def test_logs_are_text_without_colours(tmp_path: Path) -> None:
    put_failed(tmp_path, f"\x1b[31mred\x1b[0m \x1b]0;title\x07{HOSTILE}\x00")
    ((log,),) = (job.logs for job in build(tmp_path).jobs.values())
    assert log.text == f"red {HOSTILE}�"


def test_where_logs_are_long_those_of_failed_jobs_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "LOGS", 10)
    runs = tmp_path / "runs"
    done = Count((Cell("vit_large", "sta:r=52,at=1-7-13-19", "", "", "gflops"),), "meta")
    (cell,) = done.cells
    put_record(runs, cell, 308.0, "done", job=done.id)
    name = put_job(runs, done, executor="local", id="1")
    put_progress(runs, done.id, state="done", submission=name)
    (submission_folder(runs, name) / "process.log").write_text("well")
    failed = put_failed(tmp_path, "0123456789abc")
    found = build(tmp_path, (plot_of("done"),))
    assert found.jobs[failed.id].logs[0].text == "3456789abc"
    assert found.jobs[done.id].logs[0].text == ""
    assert found.jobs[done.id].logs[0].path.endswith("process.log")


def put_figures(tmp_path: Path, *names: str, record: str = "figure", **changes: Any) -> None:
    drawn = [
        {
            "video": f"{name}.mp4",
            "folder": f"jobs/j/figures/{name}",
            "files": ["tokens.png", "page.json", "../../etc/passwd"],
            "label": 3,
            "predicted": 5,
            "predicted_name": "sit down",
            "probability": 0.912,
            "stages": [{"block": 1, "kept": 328}],
        }
        | changes
        for name in names
    ]
    put_record(tmp_path / "runs", GFLOPS, 22.5, record, samples={"figures": drawn})


def write_figure(tmp_path: Path, name: str, **changes: Any) -> int:
    """Returns how many bytes of a page it takes."""
    content = figure_content(f"{name}.mp4") | changes
    write_json(tmp_path / "runs" / "jobs" / "j" / "figures" / name / "page.json", content)
    return len(json.dumps(content, separators=(",", ":")))


def test_figures_are_embedded_as_they_are(tmp_path: Path) -> None:
    put_figures(tmp_path, "a")
    write_figure(tmp_path, "a")
    (figure,) = build(tmp_path).figures
    assert figure.content == json.loads(json.dumps(figure_content("a.mp4")))
    assert (figure.said, figure.missing) == ("predicted class 5, sit down (91 %); labelled 3", "")
    assert figure.files == ["tokens.png", "page.json"]
    assert figure.stages == [(1, 328)]


def test_figures_beyond_the_room_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_figures(tmp_path, "a", "b", "c")
    size = max([write_figure(tmp_path, name) for name in ("a", "b", "c")])
    monkeypatch.setattr(gathering, "FIGURES", 2.5 * size)
    found = build(tmp_path).figures
    assert [bool(figure.content) for figure in found] == [True, True, False]
    assert "embeds" in found[2].missing


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": "7"}, "rows, columns, slots, video, model or reduction is not what it should be"),
        ({"slots": []}, "rows, columns, slots"),
        ({"slots": [{"frame": 1, "jpeg": '"><script>'}] * 8}, "a frame is not a JPEG in base64"),
        ({"stages": [{"block": 1, "kept": ["01"] * 8, "maps": {}}]}, "a stage has not one value a patch and slot"),
        ({"stages": [{"block": 1}]}, "it has not the form of a figure: 'kept'"),
        ({"stages": 3}, "it has not the form of a figure"),
        ({"slots": [{"frame": 1, "jpeg": "A"}] * 8}, "a frame is not a JPEG in base64"),
        ({"slots": [{"frame": 1, "jpeg": "R0lGODlh"}] * 8}, "a frame is not a JPEG in base64"),
        ({"stages": [STAGE | {"kept": ["2" * 49] * 8}]}, "what a stage keeps is not said in 0 and 1"),
        ({"stages": [STAGE | {"maps": {"score": [[1] * 49] * 3}}]}, "a stage has not one value a patch and slot"),
        ({"stages": [STAGE | {"maps": {"score": [["1"] * 49] * 8}}]}, "a map holds other values than numbers from"),
        ({"stages": [STAGE | {"maps": {"score": [[100] * 49] * 8}}]}, "a map holds other values than numbers from"),
        ({"stages": [STAGE | {"maps": {"score": [[True] * 49] * 8}}]}, "a map holds other values than numbers from"),
        ({"stages": [STAGE | {"maps": [1]}]}, "it has not the form of a figure"),
    ],
)
def test_a_figure_of_another_form_is_named_and_left_out(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    put_figures(tmp_path, "a")
    write_figure(tmp_path, "a", **changes)
    (figure,) = build(tmp_path).figures
    assert figure.content is None
    assert figure.missing.startswith(f"jobs/j/figures/a/page.json is ignored: {said}")


def test_a_record_names_no_file_outside_the_runs_folder(tmp_path: Path) -> None:
    (tmp_path / "page.json").write_text(json.dumps(figure_content("a.mp4")))
    put_figures(tmp_path, "a", folder="..")
    (figure,) = build(tmp_path).figures
    assert figure.missing == "../page.json is ignored: it lies outside the runs folder"
    put_figures(tmp_path, "a", record="missing")
    assert {figure.missing for figure in build(tmp_path).figures} <= {
        "../page.json is ignored: it lies outside the runs folder",
        "jobs/j/figures/a/page.json is not there",
    }


def test_records_of_another_form_have_no_figures(tmp_path: Path) -> None:
    record = put_record(tmp_path / "runs", GFLOPS, 22.5, samples={"figures": ["a", {"video": "b"}, 3]})
    plot = plot_of(record.id)
    found = build_page([], "demo", [record], [], tmp_path / "runs", [plot])
    assert ([one.id for one in found.records], found.figures) == ([record.id], [])


def test_the_page_of_a_folder_without_anything(tmp_path: Path) -> None:
    found = build(tmp_path)
    assert (found.records, found.jobs, found.attempts) == ([], {}, {})
    assert "0 of 12" in render_page(found)
