"""Real trainings by real processes: what they end with depends on neither their number nor interruptions."""

import errno
import os
import random
import re
import resource
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from jobs.cost import state_bytes
from jobs.spec.jobs import Checkpoint, Train
from models import create_model
from results.progress import job_folder, read_job
from results.records import Record, read_records
from results.steps import Step, read_steps
from tests.jobs.gang_of import make_training, run, start
from tests.jobs.small_set import CLASSES, make_set

AUGMENTED = {"randaugment": "rand-m9-mstd0.5-inc1", "repeats": 2, "short_side": 64}
MIXED = {"epochs": 3, "mixup": 0.8, "cutmix": 1.0, "label_smoothing": 0.1}


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("set"), videos=9, frames=40)


def steps_of(runs: Path, job: Train) -> list[Step]:
    return read_steps(job_folder(runs, job.id) / "steps.csv")[0]


def weights_of(runs: Path, job: Train) -> dict[str, torch.Tensor]:
    return load_file(job_folder(runs, job.id) / "weights.safetensors")


def records_of(runs: Path) -> dict[str, Record]:
    records, ignored = read_records(runs)
    assert not ignored
    return {record.cell["metric"]: record for record in records}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.fixture(scope="module")
def two_by_two(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Step], dict[str, torch.Tensor]]:
    runs = tmp_path_factory.mktemp("runs")
    job = make_training(labels, AUGMENTED, tasks_per_node=2, micro_batch=2)
    run(runs, job)
    return steps_of(runs, job), weights_of(runs, job)


def wait_for_step(runs: Path, job: Train, step: int) -> None:
    file = job_folder(runs, job.id) / "steps.csv"
    until = time.monotonic() + 200
    while not file.exists() or f"\n{step}," not in file.read_text():
        assert time.monotonic() < until, f"no step {step}: {(runs / 'said-0').read_text()}"
        time.sleep(0.01)


LAYOUTS: dict[str, dict[str, Any]] = {
    "one process": {"micro_batch": 4},
    "accumulation": {"micro_batch": 1},
    "ZeRO 2": {"tasks_per_node": 2, "micro_batch": 2, "zero_stage": 2},
    "ZeRO 3, activations computed again": {
        "tasks_per_node": 2, "micro_batch": 2, "zero_stage": 3, "activation_checkpointing": True
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_losses_do_not_depend_on_the_layout(
    layout: str, labels: Path, two_by_two: tuple[list[Step], dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    job = make_training(labels, AUGMENTED, **LAYOUTS[layout])
    if job.zero_stage:  # what it splits must come together again after a stop
        processes = start(tmp_path, job)
        wait_for_step(tmp_path, job, 1)
        assert processes[0].pid
        os.kill(processes[0].pid, signal.SIGUSR2)
        for process in processes:
            process.join(100)
    said = run(tmp_path, job)
    steps, weights = two_by_two
    assert len(steps) == 2
    assert [one.loss for one in steps_of(tmp_path, job)] == pytest.approx([one.loss for one in steps], rel=1e-5), said
    for name, tensor in weights_of(tmp_path, job).items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.fixture(scope="module")
def undisturbed(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    runs = tmp_path_factory.mktemp("runs")
    job = make_training(labels, MIXED, tasks_per_node=2, micro_batch=2)
    run(runs, job)
    return weights_of(runs, job)


def test_a_training_killed_at_a_random_step_ends_with_the_same_weights(
    labels: Path, undisturbed: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    job = make_training(labels, MIXED, tasks_per_node=2, micro_batch=2)
    for last in (5, 4, 3, 3):  # a kill that came after the end of a fast training is none in a training
        runs = tmp_path / f"{chance.random()}"
        runs.mkdir()
        processes = start(runs, job)
        wait_for_step(runs, job, chance.randint(3, last))
        time.sleep(chance.random() * 0.2)
        victim = chance.choice(processes)
        assert victim.pid
        os.kill(victim.pid, signal.SIGKILL)
        for process in processes:
            process.join(60)
            assert process.exitcode is not None, "a process waits for one that is gone"
        if not (job_folder(runs, job.id) / "outcome.json").exists():
            break
    assert read_job(runs, job.id).state in ("failed", "lost")
    said = run(runs, job)
    assert "resuming after step" in said
    assert_same(weights_of(runs, job), undisturbed)
    record = records_of(runs)["train_hours"]
    segments = record.samples["segments"]
    assert len(segments) == 2
    assert record.value == pytest.approx(sum(one["train_s"] for one in segments) / 3600)
    assert sum(one["steps"] for one in segments) == 6


def test_a_training_told_to_stop_ends_with_the_same_weights(
    labels: Path, undisturbed: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    job = make_training(labels, MIXED, tasks_per_node=2, micro_batch=2)
    processes = start(tmp_path, job)
    wait_for_step(tmp_path, job, 3)
    assert processes[1].pid
    os.kill(processes[1].pid, signal.SIGUSR2)
    for process in processes:
        process.join(100)
    kept = len(steps_of(tmp_path, job))
    assert 3 <= kept < 6
    state = max((job_folder(tmp_path, job.id) / "restart").glob("step-*"))
    size = sum(path.stat().st_size for path in state.iterdir())
    assert size == pytest.approx(state_bytes(job), rel=0.1)
    errors = {task.error for task in read_job(tmp_path, job.id).tasks}
    words = f"asked to stop (SIGUSR2) after step {kept} of 6; the same command resumes after step {kept}"
    assert errors == {words}
    assert f"resuming after step {kept} of 6" in run(tmp_path, job)
    assert_same(weights_of(tmp_path, job), undisturbed)
    records = records_of(tmp_path)
    assert records["train_hours"].samples["repeated_s"] == 0
    assert sorted(records) == ["top1_trained", "train_hours", "train_hours_projected", "train_step_s"]
    assert records["top1_trained"].counts == {"evaluated": 9, "listed": 9}


def no_large_files() -> None:
    """As on a disk that is full, but for small files: the weights fit, the optimiser's state does not."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * 2**19, 3 * 2**19))


def test_broken_videos_and_states_that_cannot_be_kept_are_named_and_stop_nothing(tmp_path: Path) -> None:
    labels = make_set(tmp_path / "set", videos=9, frames=40)
    (tmp_path / "set" / "clip 4.mp4").write_bytes(b"")
    (tmp_path / "set" / "clip 7.mp4").unlink()
    evaluated = replace(make_training(labels).evaluate, tolerance=0.5)
    job = make_training(labels, {"epochs": 2}, tasks_per_node=2, micro_batch=2, evaluate=evaluated)
    said = run(tmp_path, job, no_large_files)
    assert len(steps_of(tmp_path, job)) == 4, said
    record = records_of(tmp_path)["train_hours"]
    assert {item["video"] for item in record.skipped} == {"clip 4.mp4", "clip 7.mp4"}
    large = os.strerror(errno.EFBIG)
    assert record.notes == [
        f"the state after step 2 could not be saved ({large}); there is none yet",
        f"the state after step 4 could not be saved ({large}); there is none yet",
    ]
    assert record.notes[0] in said
    assert not list(job_folder(tmp_path, job.id).glob("restart/*"))
    notes = records_of(tmp_path)["top1_trained"].notes
    assert notes == ["trained without 2 videos that could not be read"]


def test_a_loss_that_is_no_number_fails_with_the_step(labels: Path, tmp_path: Path) -> None:
    job = make_training(labels, {"base_lr": 1e30, "epochs": 2, "warmup_epochs": 0.0})
    run(tmp_path, job)
    assert read_job(tmp_path, job.id).state == "failed"
    error = read_job(tmp_path, job.id).error
    assert re.match(r"the loss is (nan|inf) at step 2 of 4 \(epoch 1\); lower train.base_lr", error)


def test_a_few_steps_project_the_hours_of_the_whole_recipe(labels: Path, tmp_path: Path) -> None:
    start = save_start(tmp_path / "start.safetensors")
    recipe = {"epochs": 50, "short_epochs": 10, "short_frames": 4}
    job = make_training(labels, recipe, measure_steps=3, start=start, unused=("decoder",), reduction="none")
    said = run(tmp_path, job)
    steps = steps_of(tmp_path, job)
    assert [one.frames for one in steps] == [4] * 3 + [16] * 3, said
    short, whole = (sorted(one.seconds for one in steps if one.frames == frames)[1] for frames in (4, 16))
    records = records_of(tmp_path)
    assert "top1_trained" not in records
    assert records["train_hours"].status == records["train_hours_projected"].status == "projected"
    assert records["train_hours"].value == pytest.approx((10 * 2 * short + 50 * 2 * whole) / 3600)
    assert records["train_step_s"].value == whole
    assert records["train_hours"].samples["peak_memory"][0] > 2**20


def save_start(path: Path) -> Checkpoint:
    """Weights as of a pre-training: an encoder, a decoder, no head."""
    torch.manual_seed(3)
    state = create_model("vit_demo", num_classes=CLASSES).state_dict()
    kept = {f"encoder.{name}": tensor for name, tensor in state.items() if not name.startswith(("fc_norm", "head"))}
    save_file(kept | {"decoder.weight": torch.zeros(2)}, path)
    return Checkpoint.of(path)


def test_a_start_of_the_wrong_shape_is_refused(labels: Path, tmp_path: Path) -> None:
    state = load_file(save_start(tmp_path / "start.safetensors").path)
    state["encoder.blocks.0.mlp.fc1.weight"] = torch.zeros(3, 3)
    save_file(state, tmp_path / "start.safetensors")
    start = Checkpoint.of(tmp_path / "start.safetensors")
    job = make_training(labels, start=start, unused=("decoder",))
    run(tmp_path, job)
    error = read_job(tmp_path, job.id).error
    assert "start.safetensors" in error
    assert "blocks.0.mlp.fc1.weight (3, 3) instead of (160, 40)" in error


def test_too_few_videos_for_a_batch(labels: Path, tmp_path: Path) -> None:
    job = make_training(labels, {"batch": 16}, micro_batch=16)
    run(tmp_path, job)
    assert read_job(tmp_path, job.id).error == f"{labels} has 9 videos; a batch needs 16"
