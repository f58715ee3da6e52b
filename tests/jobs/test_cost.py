"""What is reckoned beforehand is what comes about."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jobs import cost
from jobs.data.views import distinct_views
from jobs.spec.blocks import split
from jobs.spec.cells import Cell
from jobs.spec.jobs import Dataset, Evaluate, Measure
from jobs.spec.sampling import sampling
from jobs.spec.sources import NO_WEIGHTS
from jobs.training.report import TrainingReport
from jobs.work.scores import Block, BlockStore, ViewScores
from results.steps import Step
from tests.jobs.gang_of import make_training

GRIDS = ("2x3", "4x3", "6x3", "8x3", "16x3")
SET = Dataset("k400", "val.txt", "", ".", 400, "kinetics", 4)


def evaluation(model: str, reductions: tuple[str, ...], grids: tuple[str, ...], dataset: Dataset = SET) -> Evaluate:
    cells = tuple(Cell(model, reduction, dataset.name, grid, "top1") for reduction in reductions for grid in grids)
    return Evaluate(cells, model, NO_WEIGHTS, dataset, "fp16", 0, 32, 16, 4, 60.0, 0.01, 1)


def test_forwards_of_table_2() -> None:
    job = evaluation("vit_large", ("none", "sta:r=48", "sta:r=64", "sta:r=80"), GRIDS)
    assert cost.forwards_a_video(job) == dict.fromkeys(("none", "sta:r=48", "sta:r=64", "sta:r=80"), 66)


def test_the_central_clip_of_segments_is_the_second_of_two() -> None:
    dataset = replace(SET, name="ssv2", sampling="ssv2", num_classes=174)
    assert cost.forwards_a_video(evaluation("vit_base", ("none",), ("2x3", "1x3"), dataset)) == {"none": 6}


@pytest.mark.parametrize(("classes", "videos", "reductions"), [(400, 40, ("none", "sta:r=48")), (16, 64, ("none",))])
def test_scores_take_as_many_bytes_as_the_blocks_do(
    classes: int, videos: int, reductions: tuple[str, ...], tmp_path: Path
) -> None:
    job = evaluation("vit_large", reductions, GRIDS, replace(SET, num_classes=classes))
    store = BlockStore(tmp_path / "blocks")
    views, members = distinct_views(sampling("videomae", "kinetics", 16, 4), 300, 224, 297, GRIDS, 224)
    scores = ViewScores(
        np.ones((len(views), classes), np.float32), {grid: np.array(rows) for grid, rows in members.items()}
    )
    for start, end in split(videos, job.block):
        content = {index: dict.fromkeys(reductions, scores) for index in range(start, end)}
        store.write((start, end), Block(content, {}, end - start, 66 * (end - start), 12.345678))
    real = sum(path.stat().st_size for path in store.folder.iterdir())
    assert cost.scores_bytes(job, videos) == pytest.approx(real, rel=0.01)


def test_table_2_on_kinetics_takes_8_gigabytes() -> None:
    job = evaluation("vit_large", ("none", "sta:r=48", "sta:r=64", "sta:r=80"), GRIDS)
    assert cost.scores_bytes(job, 19_796) == pytest.approx(19_796 * 264 * 400 * 4, rel=0.04)
    assert round(cost.scores_bytes(job, 19_796) / 1e9, 1) == 8.6


def test_flops_of_whole_and_short_clips() -> None:
    assert round((cost.multiply_adds("vit_base", "sta:r=48") or 0) / 1e9) == 116
    whole, short = cost.multiply_adds("vit_base", "none"), cost.multiply_adds("vit_base", "none", 4)
    assert whole
    assert short
    assert 0.2 < short / whole < 0.25  # a quarter of the tokens, and less for attention


def test_what_a_timing_reads() -> None:
    cells = tuple(Cell("vit_demo", "none", "", "", one) for one in ("clips_per_s", "latency_ms", "peak_memory_gib"))
    job = Measure(cells, "fp32", 8, 30, 1, 0, block=16)
    assert cost.timed_forwards(job) == 8 * 80 + 80
    assert (cost.timed_videos(job, 19_796), cost.timed_videos(job, 64)) == (31 * 16, 64)


def test_the_steps_of_a_training(tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("a.mp4 0\n")
    job = make_training(tmp_path / "val.txt", {"epochs": 100, "batch": 128})
    assert cost.training_steps(job, 240_000) == [(16, 187_500)]
    short = make_training(tmp_path / "val.txt", {"epochs": 2, "short_epochs": 4, "short_frames": 4}, measure_steps=20)
    assert cost.training_steps(short, 16) == [(4, 16), (16, 8)]
    assert cost.training_steps(short, 1600) == [(4, 20), (16, 20)]
    assert cost.final_evaluation(short) is None
    final = cost.final_evaluation(job)
    assert final
    assert [cell.metric for cell in final.cells] == ["top1_trained"]


@pytest.mark.parametrize(
    ("precision", "zero_stage", "each"),
    # As many bytes a weight as the files had, but for less than 0.9, of trainings that were stopped: of this model, and
    # bf16 for fp16, which DeepSpeed has on GPUs only.
    [("fp32", 0, 12), ("fp32", 1, 16), ("fp32", 3, 12), ("fp16", 0, 14), ("bf16", 0, 14), ("fp16", 2, 14)],
)
def test_a_state_by_its_weights(precision: str, zero_stage: int, each: int, tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("a.mp4 0\n")
    job = make_training(tmp_path / "val.txt", {"precision": precision}, zero_stage=zero_stage)
    assert cost.state_bytes(job) == each * 252_296
    assert cost.training_bytes(job, 1000) == 3 * each * 252_296 + 4 * 252_296 + 350_000


def test_what_is_noted_of_a_step(tmp_path: Path) -> None:
    task: Any = SimpleNamespace(update=lambda *_: None)
    with TrainingReport(task, tmp_path / "steps.csv", True, 187_500, 0) as report:
        for number in range(100_001, 100_301):
            loss, seconds = 3.1234567890123 + 1 / number, 0.5312345678901 + 1 / number
            report.add(Step(number, 1, 16, loss, 1 / (3 * number), seconds, 0.0123456789012), 256, 128.0)
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert written == pytest.approx(300 * cost.STEP_BYTES, rel=0.1)
