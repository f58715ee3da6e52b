"""Settings of records: which record the report prefers, and what it says where those of a table differ."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness import report
from harness.planning.planner import Planner
from harness.planning.present import Present
from harness.profiles import load_profile
from harness.reporting.departures import departures, differences
from jobs.spec.cells import Cell
from jobs.spec.jobs import Evaluate
from results.metrics import METRICS
from results.records import setting
from tests.harness.made import make_planner, make_profile, put_record
from tests.harness.test_report import DEMO, demo_cell, view


def settings_of(cell: Cell, planner: Planner) -> dict[str, Any]:
    job = planner.job([cell])
    return job.settings(cell) | {"batch_size": job.batch_size} if isinstance(job, Evaluate) else job.settings(cell)


RUN = ("precision", "compile", "attention")
"""How a model is run."""


@pytest.mark.parametrize("metric", METRICS)
def test_the_expected_settings_are_those_that_the_planner_gives(tmp_path: Path, metric: str) -> None:
    planner = make_planner(tmp_path)
    dataset = "motion" if "dataset" in METRICS[metric].over else ""
    views = "2x3" if metric in ("top1_trained", "top1", "top5", "clips_per_s_e2e") else ""
    cell = Cell("vit_demo", "none", dataset, views, metric)
    record = put_record(tmp_path / "runs", cell, settings=settings_of(cell, planner))
    expected = Present(planner.profile, planner.runs).settings(record.cell)
    assert {name: setting(record, name) for name in expected} == expected
    if METRICS[metric].job == "train":
        listed = "dataset.labels_sha256"
        assert {"method", "recipe.epochs", "measure_steps", "tasks_per_node", "start", listed} <= set(expected)
        for name in ("evaluate.precision", "evaluate.dataset.labels_sha256"):
            assert (name in expected) == (metric == "top1_trained")
        return
    videos = {f"dataset.{name}" for name in ("labels_sha256", "num_classes", "sampling", "stride")}
    names = {
        "gflops": {"counter"},
        **{name: {"batch_size", *RUN} for name in ("clips_per_s", "latency_ms", "peak_memory_gib")},
        "clips_per_s_e2e": {"batch_size", *RUN, *videos},
        "tokens_kept": {"precision", "checkpoint.sha256", "videos", *videos},
    }
    assert set(expected) == {"method"} | names.get(metric, {"checkpoint.sha256", *RUN, *videos})


def test_expected_settings_without_the_profiles_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHECKPOINTS", raising=False)
    monkeypatch.delenv("K400", raising=False)
    cell = vars(Cell("vit_large", "none", "k400", "5x3", "top1"))
    present = Present(load_profile("v100"), tmp_path)
    assert set(present.settings(cell)) == {"method", *RUN} | {
        f"dataset.{name}" for name in ("num_classes", "sampling", "stride")
    }
    weights = "$CHECKPOINTS/vit_large_k400.pth"
    assert list(present.unknown) == [
        f"{weights} (the path {weights} needs $CHECKPOINTS, which is not set)",
        "$K400/val.txt (the path $K400/val.txt needs $K400, which is not set)",
    ]
    assert set(present.settings(cell | {"dataset": "ucf"})) == {"method", *RUN}


def test_of_two_records_the_one_under_this_profiles_settings_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = make_planner(tmp_path)
    for number, other in enumerate([{}, {"precision": "bf16"}, {"checkpoint": {"sha256": "other"}}]):
        settings = settings_of(demo_cell(), planner) | other
        put_record(tmp_path / "runs", demo_cell(), float(number), f"r{number}", settings=settings, ended=f"202{number}")

    def shown(*options: str) -> list[float]:
        arguments = ["--profile", str(tmp_path / "small.toml"), "--runs", "runs", "--json", *options]
        assert report.main(["table2", *arguments]) == 0
        return [cell["value"] for cell in json.loads(capsys.readouterr().out) if cell["value"] is not None]

    monkeypatch.chdir(tmp_path)
    assert shown() == [0.0]
    assert shown("--set", "evaluate.precision=bf16") == [1.0]


def test_values_measured_under_different_settings_are_told(tmp_path: Path) -> None:
    planner, runs = make_planner(tmp_path), tmp_path / "runs"
    for column in DEMO:
        put_record(runs, demo_cell(column), settings=settings_of(demo_cell(column), planner))
    assert not any("alike" in note for note in view(tmp_path).notes)
    mine = settings_of(demo_cell(), planner)
    path = mine["checkpoint"]["path"]
    for views, changes in (
        ("4x3", {"precision": "bf16"}),
        ("6x3", {"checkpoint": mine["checkpoint"] | {"sha256": "3"}}),
        ("8x3", {"checkpoint": {"path": "/other.pth", "sha256": "4"}, "batch_size": 1}),
        ("2x3", {"checkpoint": mine["checkpoint"] | {"path": "/moved.pth"}}),
        ("16x3", {"dataset": mine["dataset"] | {"labels_sha256": "0" * 64}}),
    ):
        put_record(runs, demo_cell(views=views), settings=mine | changes)
    digest = mine["dataset"]["labels_sha256"][:12]
    notes = [note for note in view(tmp_path).notes if "alike" in note]
    assert sorted(notes) == [
        "not all values were measured alike: the checkpoint of vit_demo on motion is "
        f"{path} in 2 versions (7 cells), /other.pth (1 cell)",
        f"not all values were measured alike: the label file of motion is sha256 {digest} (7 cells), "
        "sha256 000000000000 (1 cell)",
        "not all values were measured alike: the precision is fp32 (7 cells), bf16 (1 cell)",
    ]


def test_timings_of_different_batch_sizes_are_told_but_not_from_accuracies(tmp_path: Path) -> None:
    cells = [
        Cell("vit_demo", "none", "", "", "clips_per_s"),
        Cell("vit_demo", "none", "motion", "2x3", "clips_per_s_e2e"),
    ]
    values = [(demo_cell(), "bf16", 8), (cells[0], "fp32", 32), (cells[1], "fp32", 16)]
    records = [
        put_record(tmp_path / "runs", cell, settings={"precision": precision, "batch_size": size})
        for cell, precision, size in values
    ]
    assert differences(records) == [
        "not all values were measured alike: the batch size of timings is 32 (1 cell), 16 (1 cell)"
    ]
    assert differences(records[:2]) == []


def test_values_of_another_recipe_are_told(tmp_path: Path) -> None:
    planner = make_planner(tmp_path)
    cells = [Cell("vit_demo", "none", "motion", "", metric) for metric in ("train_hours", "train_step_s")]
    records = []
    for number, cell in enumerate(cells):
        settings = settings_of(cell, planner)
        settings["recipe"] |= {"epochs": 0.5} if number else {"epochs": 0.5, "batch": 4}
        settings["dataset"] |= {"root": "/moved"}
        records.append(put_record(tmp_path / "runs", cell, settings=settings, id=str(number)))
    wanted = planner.profile.train
    present = Present(planner.profile, planner.runs)
    assert departures(records, present)[:1] == [
        "2 cells were measured under other settings than this profile's: "
        f"epochs 0.5, not {wanted.epochs} (2); batch 4, not {wanted.batch} (1)"
    ]
    same = put_record(tmp_path / "runs", cells[0], settings=settings_of(cells[0], planner), id="same")
    assert departures([same], present) == []


def test_generated_videos_that_came_out_otherwise_are_said_under_tables_and_are_other_inputs(tmp_path: Path) -> None:
    profile = tmp_path / "generated.toml"
    profile.write_text(
        make_profile(tmp_path).read_text().replace('sampling = "kinetics"', 'sampling = "kinetics"\nprepare = "maker"')
    )
    others = "demo-4 with 3 of 64 videos other than the package's (sha256 0123456789ab)"
    ids = set()
    for edition in ("", "demo-4", others):
        if edition:
            (tmp_path / "val.edition").write_text(f"{edition}\n")
        planner = Planner(load_profile(str(profile)), tmp_path / "runs")
        ids.add(planner.job([demo_cell()]).record_id(demo_cell()))
        record = put_record(tmp_path / "runs", demo_cell(), settings=settings_of(demo_cell(), planner))
        said = [note for note in view(tmp_path).notes if "another encoder" in note]
        why = "another encoder made them, or they were changed, and values may differ"
        assert said == [f"motion is {others}: {why}"] * (edition == others)
        (tmp_path / "runs" / "records" / f"{record.id}.json").unlink()
    assert len(ids) == 3
    (tmp_path / "val.edition").write_text("demo-4")
    present = Present(planner.profile, planner.runs)
    assert present.marked(record).flags == [
        f"measured with inputs that have changed since: videos of motion ({others}, now demo-4)"
    ]
    del record.settings["dataset"]["edition"]
    assert present.marked(record).flags == [
        "measured with inputs that have changed since: videos of motion (which ones is not recorded, now demo-4)"
    ]
