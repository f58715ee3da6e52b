"""Trainings with reductions that merge tokens, or leave clips of a batch with different numbers of them."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.spec.jobs import Train
from results.progress import job_folder
from results.records import read_records
from results.steps import read_steps
from tests.jobs.gang_of import make_training, run
from tests.jobs.small_set import make_set


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("set"), videos=8, frames=66)


def with_reduction(job: Train, reduction: str) -> Train:
    cells = tuple(replace(cell, reduction=reduction) for cell in job.cells)
    return replace(job, reduction=reduction, cells=cells)


def losses(job: Train, runs: Path) -> list[float]:
    said = run(runs, job)
    found = [step.loss for step in read_steps(job_folder(runs, job.id) / "steps.csv")[0]]
    assert len(found) == 2, said
    return found


@pytest.mark.parametrize("reduction", ["rlt:tau=0.3", "vidtldr:r=100-50"])
def test_losses_do_not_depend_on_which_clips_share_a_batch(reduction: str, labels: Path, tmp_path: Path) -> None:
    """With RLT the clips of a micro-batch of four keep different numbers of tokens; alone in theirs they do not."""
    together = with_reduction(make_training(labels, micro_batch=4), reduction)
    alone = with_reduction(make_training(labels, tasks_per_node=2, micro_batch=1), reduction)
    assert losses(together, tmp_path / "a") == pytest.approx(losses(alone, tmp_path / "b"), rel=1e-4)
    records = {record.cell["metric"]: record for record in read_records(tmp_path / "a")[0]}
    assert set(records) == {"top1_trained", "train_hours", "train_hours_projected", "train_step_s"}
    assert (records["train_step_s"].samples["gflops"] is None) == reduction.startswith("rlt")


def test_a_video_swin_is_trained_with_sta(labels: Path, tmp_path: Path) -> None:
    """Whichever clips share a batch, with stochastic depth and short clips before whole ones."""
    recipe = {"short_frames": 4, "short_epochs": 1, "epochs": 1}
    found = []
    for name, settings in (("a", {"micro_batch": 4}), ("b", {"tasks_per_node": 2, "micro_batch": 1})):
        job = replace(make_training(labels, recipe, **settings), model="swin_demo", new=("head",))
        cells = tuple(replace(cell, model="swin_demo", reduction="sta:r=64") for cell in job.cells)
        evaluated = replace(job.evaluate, model="swin_demo")
        job = replace(job, reduction="sta:r=64", cells=cells, evaluate=evaluated)
        said = run(tmp_path / name, job)
        steps = read_steps(job_folder(tmp_path / name, job.id) / "steps.csv")[0]
        assert [step.frames for step in steps] == [4, 4, 16, 16], said
        found.append([step.loss for step in steps])
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    records = {record.cell["metric"]: record for record in read_records(tmp_path / "a")[0]}
    assert set(records) == {"top1_trained", "train_hours", "train_hours_projected", "train_step_s"}


def test_tome_is_trained_with(labels: Path, tmp_path: Path) -> None:
    job = with_reduction(make_training(labels, micro_batch=2, activation_checkpointing=True), "tome:r=16,prop=1")
    assert all(math.isfinite(loss) for loss in losses(job, tmp_path))
