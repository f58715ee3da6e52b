"""What the report says of trainings: their hours, the speed-up of a step, and what they were not alike in."""

from pathlib import Path
from typing import Any

import pytest

from harness.reporting.departures import differences
from harness.reporting.training_notes import training_notes
from jobs.spec.cells import Cell
from results.records import Record
from results.render.table_view import Entry
from tests.harness.made import make_planner, put_record
from tests.harness.test_report import entry, view

SAMPLES: dict[str, Any] = {
    "hours": 0.0342,
    "process_hours": 0.0684,
    "gpu_hours": None,
    "segments": [{}],
    "repeated_s": 0,
    "queue_s": 0.0,
    "startup_s": 12.34,
    "checkpoint_s": 0.0,
    "evaluate_s": 41.0,
    "data_share": 0.031,
    "step_s": {"median": 0.5, "iqr": 0.01, "steps": 400},
    "clips_per_step": 32,
    "gflops": 0.2,
    "processes": 2,
    "device": "cpu",
    "peak_memory": [600 * 2**20, 614.4 * 2**20],
}
GPUS = {
    **{"hours": 28.14, "process_hours": 900.48, "gpu_hours": 900.48, "device": "cuda", "processes": 32},
    **{"segments": [{}, {}, {}], "repeated_s": 95.0, "startup_s": 0.0, "evaluate_s": None},
}
ROWS = {"ViT-B": "none", "STA48-ViT-B": "sta:r=12"}


def cell(row: str = "ViT-B", metric: str = "train_hours") -> Cell:
    return Cell("vit_demo", ROWS[row], "motion", "5x3" if metric == "top1_trained" else "", metric)


def put_training(tmp_path: Path, row: str = "ViT-B", metric: str = "train_hours", **content: Any) -> Record:
    """A record of what the profile of now would train."""
    job = make_planner(tmp_path).job([cell(row, metric)])
    base = {"samples": SAMPLES, "settings": job.settings(cell(row, metric)), "value": 0.0342}
    return put_record(tmp_path / "runs", cell(row, metric), **(base | content))


def test_hours_and_what_lies_beside_them(tmp_path: Path) -> None:
    record = put_training(tmp_path)
    assert training_notes([("ViT-B", record)]) == [
        "ViT-B: 100 epochs at a batch of 8 videos × 2 clips, from scratch; "
        "0.0342 h in 1 segment on 2 processes (cpu), 0.0684 process-hours; 3 % of it waiting for data; "
        "beside it 12 s of start-up, 41 s of evaluation; peak memory 0.60 GiB a process"
    ]


def test_hours_on_a_cluster_after_restarts(tmp_path: Path) -> None:
    provenance = {"machine": {"gpu": "Tesla V100-SXM2-32GB"}}
    record = put_training(tmp_path, samples=SAMPLES | GPUS, provenance=provenance, id="a")
    (note,) = training_notes([("ViT-B", record)])
    assert "; 28.1 h in 3 segments on 32 processes (Tesla V100-SXM2-32GB), 900 GPU-hours; 3 % " in note
    assert "beside it 95 s of steps done again after a kill; peak memory" in note
    some = put_training(tmp_path, settings={"measure_steps": 400}, id="b")
    assert training_notes([("ViT-B", some)])[0].startswith(
        "ViT-B: a median over 400 steps on whole clips, 0.0342 h in 1"
    )


def test_the_speed_up_stands_beside_the_ratio_of_flops(tmp_path: Path) -> None:
    faster = SAMPLES | {"step_s": SAMPLES["step_s"] | {"median": 0.25}, "gflops": 0.09, "clips_per_step": 24}
    put_training(tmp_path, metric="train_step_s", value=0.5)
    put_training(tmp_path, "STA48-ViT-B", "train_step_s", value=0.25, samples=faster)
    (note,) = (note for note in view(tmp_path, "table1").notes if " against " in note)
    assert note == (
        "STA48-ViT-B against ViT-B: a training step is 1.50 × as fast, its model has 2.22 × fewer FLOPs (0.67 of that)"
    )


def test_table1_in_the_report(tmp_path: Path) -> None:
    broken = [{"video": "train/bad.mp4", "reason": "truncated"}]
    put_training(tmp_path, skipped=broken)
    put_training(tmp_path, "STA48-ViT-B", value=0.02, status="projected")
    found = view(tmp_path, "table1")
    hours = entry(found, "Training (h)", "ViT-B")
    assert (hours.value, hours.published, hours.measured_text, hours.difference_text) == (
        0.0342,
        28.0,
        "0.0342",
        "-28.0",
    )
    assert entry(found, "Training (h)", "STA48-ViT-B").status == "projected"
    (stand_in,) = (note for note in found.notes if "stands in" in note)
    assert stand_in.startswith("vit_demo on motion stands in for vit_base on k400; r is scaled")
    assert "of its own model, data and machines, so compare the ratios and drops, not the levels" in stand_in
    assert "1 training videos could not be read and were left out: train/bad.mp4 (truncated)" in found.notes
    assert any(note.startswith("measured ") and ": fp32" in note for note in found.notes)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0342, "0.0342"), (0.5, "0.500"), (9.994, "9.99"), (28.14, "28.1"), (0.0, "0.0"), (1e-9, "0.000000")],
)
def test_short_hours_have_digits_enough(value: float, text: str) -> None:
    assert Entry("row", "column", "train_hours", value, status="done").measured_text == text


def test_trainings_that_were_not_alike_are_told(tmp_path: Path) -> None:
    records = [put_training(tmp_path, row) for row in ROWS]
    assert differences(records) == []
    settings = records[1].settings
    changed = settings | {"recipe": settings["recipe"] | {"epochs": 3, "precision": "bf16"}, "tasks_per_node": 4}
    other = put_training(tmp_path, "STA48-ViT-B", settings=changed | {"start": {"path": "/w.pth"}}, id="other")
    assert differences([records[0], other]) == [
        f"not all values were measured alike: the {what}"
        for what in (
            "first weights of vit_demo on motion is scratch (1 cell), /w.pth (1 cell)",
            "epochs of trainings on motion is 100.0 (1 cell), 3 (1 cell)",
            "precision of trainings on motion is fp32 (1 cell), bf16 (1 cell)",
            "tasks_per_node of trainings on motion is 2 (1 cell), 4 (1 cell)",
        )
    ]
