"""Training: a gang of processes, one a GPU, trains one model with DeepSpeed, evaluates it, and says how long it took.

Recipe: STA supplement, section A, and VideoMAE's public values where that is silent (jobs/spec/recipe.py).
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from jobs.data.labels import read_labels
from jobs.data.stream import Epoch
from jobs.node.device import check_gpu
from jobs.node.gang import Gang, join
from jobs.node.task import Cancelled, Stopped, Task
from jobs.spec.cells import Cell
from jobs.spec.jobs import Checkpoint, Train
from jobs.spec.sources import NO_WEIGHTS
from jobs.training.hours import projected_hours, typical
from jobs.training.loop import Outcome, Trainer, timeline
from jobs.work.evaluate import check_unchanged, evaluate, write_accuracies
from models import count_flops, create_model
from models.catalog import architecture
from results.files import read_json, replacing, write_json
from results.metrics import METRICS
from results.records import Record
from results.spread import spread_flags
from results.steps import missing_flags, read_steps

WEIGHTS, OUTCOME, STEPS = "weights.safetensors", "outcome.json", "steps.csv"
"""What a finished training leaves in its job's folder."""
FEW = 10
"""A median over fewer steps is flagged."""


def run(job: Train, task: Task) -> None:
    """Be one process of the gang: train or resume training, evaluate, and write the records."""
    check_unchanged(task.runs, job.dataset, job.start or NO_WEIGHTS)
    items = read_labels(job.dataset.labels, job.dataset.root, job.dataset.num_classes, job.dataset.classes)
    if len(items) < job.recipe.batch:
        raise ValueError(f"{job.dataset.labels} has {len(items)} videos; a batch needs {job.recipe.batch}")
    torch.set_num_threads(job.threads)
    epochs = timeline(job, len(items))
    with join(job.processes) as gang:
        check_gpu(job.gpus)
        if not gang.agree([not task.has_records(job)])[0]:
            return
        _together(gang, task.check_stop)
        if not gang.agree([(task.folder / OUTCOME).exists()])[0]:
            trainer = Trainer(job, task, gang, items, epochs)
            outcome = trainer.run(task.folder / STEPS)
            _save(outcome, trainer.weights(), task.folder, gang)
            del trainer
            if gang.device.type == "cuda":
                torch.cuda.empty_cache()
        cells = tuple(cell for cell in job.cells if cell.metric == "top1_trained")
        seconds = None
        if cells and not job.measure_steps:
            began = time.perf_counter()
            _evaluate(job, cells, replace(task, before=sum(epoch.steps for epoch in epochs)), gang)
            seconds = time.perf_counter() - began
        if gang.rank == 0:
            _write_times(job, task, timeline(replace(job, measure_steps=0), len(items)), seconds)
        gang.barrier()


def _together(gang: Gang, action: Callable[[], object]) -> None:
    """Do `action` in all processes, and stop in all of them where one of them was asked to."""
    told: Exception | None = None
    try:
        action()
    except (Cancelled, Stopped) as error:
        told = error
    for one in gang.gather(told):
        if one:
            raise one


def _save(outcome: Outcome, weights: dict[str, torch.Tensor], folder: Path, gang: Gang) -> None:
    """Write the weights, then the note of them; only then are the saved states of no more use."""
    if gang.rank == 0:
        with replacing(folder / WEIGHTS) as temporary:
            save_file(weights, temporary)
        write_json(folder / OUTCOME, asdict(outcome))
        shutil.rmtree(folder / "restart", ignore_errors=True)
    gang.barrier()


def _evaluate(job: Train, cells: tuple[Cell, ...], task: Task, gang: Gang) -> None:
    """Evaluate the trained model in one pass, as any other; the processes share the videos."""
    weights = Checkpoint.of(task.folder / WEIGHTS, task.runs)
    evaluated = replace(job.evaluate, cells=cells, checkpoint=weights)
    folder = task.folder / f"evaluation-{evaluated.id}"
    _together(gang, lambda: evaluate(evaluated, task, folder))
    totals = evaluate(evaluated, task, folder) if gang.rank == 0 else None
    if totals:
        broken = read_json(task.folder / OUTCOME)["broken"]
        notes = [f"trained without {len(broken)} videos that could not be read"] if broken else []
        write_accuracies(job, cells, evaluated, task, totals, f"jobs/{job.id}/{folder.name}", notes)


def _write_times(job: Train, task: Task, whole: Sequence[Epoch], evaluate_s: float | None) -> None:
    """A record for each cell about time; `whole` are the epochs of the whole recipe."""
    outcome = read_json(task.folder / OUTCOME)
    segments = outcome["segments"]
    steps, repeated = read_steps(task.folder / STEPS)
    train_s, data_s, checkpoint_s = (
        sum(one[name] for one in segments) for name in ("train_s", "data_s", "checkpoint_s")
    )
    step = typical(steps, architecture(job.model).frames)
    projected = projected_hours(whole, steps)
    hours = train_s / 3600
    samples: dict[str, Any] = {
        "hours": hours,
        "process_hours": hours * job.processes,
        "gpu_hours": hours * job.processes if outcome["device"] == "cuda" else None,
        "projected_hours": projected,
        "segments": segments,
        "repeated_s": repeated,
        "queue_s": sum(one["queue_s"] for one in segments),
        "startup_s": sum(one["startup_s"] for one in segments),
        "checkpoint_s": checkpoint_s,
        "evaluate_s": evaluate_s,
        "data_share": data_s / train_s,
        "step_s": step,
        "steps": f"jobs/{job.id}/{STEPS}",
        "clips_per_step": job.recipe.batch * job.recipe.repeats,
        "gflops": _gflops(job),
        "processes": job.processes,
        "device": outcome["device"],
        "peak_memory": outcome["peak_memory"],
    }
    flags = spread_flags(step["median"], step["iqr"], "median step")
    flags += missing_flags(steps)
    if step["steps"] < FEW:
        flags.append(f"a median over {step['steps']} steps only")
    of_steps = f"projected from {len(steps)} steps" if job.measure_steps else ""
    if len(machines := list(dict.fromkeys(one["machine"] for one in segments))) > 1:
        flags.append(f"its segments ran on {len(machines)} kinds of machine: {', '.join(machines)}")
    values = {
        "train_hours": (projected, "projected", flags, of_steps) if job.measure_steps else (hours, "done", [], ""),
        "train_hours_projected": (projected, "projected", flags, ""),
        "train_step_s": (step["median"], "done", flags, ""),
    }
    for cell in job.cells:
        if cell.metric not in values:
            continue
        value, status, doubts, note = values[cell.metric]
        task.write(
            Record(
                id=job.record_id(cell),
                cell=vars(cell),
                value=value,
                unit=METRICS[cell.metric].unit,
                status=status,
                settings=job.settings(cell) | {"device": outcome["device"]},
                samples=samples,
                skipped=outcome["broken"],
                flags=doubts,
                notes=[*filter(None, [note]), *outcome["notes"]],
                provenance=outcome["provenance"],
                profile=task.profile,
                job=job.id,
                started=segments[0]["started"],
                ended=outcome["ended"],
            )
        )


def _gflops(job: Train) -> float | None:
    """Of a clip; None where that hangs on what it shows."""
    model = create_model(job.model, job.reduction)
    return None if model.reduction.by_content else count_flops(model) / 1e9
