"""Throughput: clips/s of the model alone, or end to end with reading and decoding.

Protocol: section "Evaluation", throughput: mixed precision at a fixed batch size, warm-up, then timed samples.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from jobs.data.labels import read_labels
from jobs.data.tolerance import check_tolerance
from jobs.node.device import autocast, check_gpu, pick_device, ready_model
from jobs.node.task import Task
from jobs.spec.cells import METRICS, Cell
from jobs.spec.jobs import WARM_UP_MAX, WARM_UP_MIN, Measure, split
from jobs.work.evaluate import Scorer, check_unchanged, unreadable
from models.catalog import architecture
from results.records import Record
from results.spread import spread, spread_flags

STABLE = 0.02
"""The warm-up ends when the medians of two neighbouring windows of five differ by less than this share."""


def run(job: Measure, task: Task) -> None:
    """Measure the job's one cell."""
    task.check_stop()
    (cell,) = job.cells
    torch.set_num_threads(job.threads)
    check_gpu(job.gpus)
    started = task.now()
    skipped: list[dict[str, str]] = []
    if cell.metric == "clips_per_s":
        rates, details = model_only(job, cell, task)
    else:
        rates, details = end_to_end(job, cell, task, skipped)
    median, iqr = spread(rates)
    task.write(
        Record(
            id=job.record_id(cell),
            cell=vars(cell),
            value=median,
            unit=METRICS[cell.metric],
            status="done",
            settings=job.settings(cell) | {"device": pick_device().type},
            samples={"clips_per_s": rates, "median": median, "iqr": iqr} | details,
            flags=spread_flags(median, iqr),
            skipped=skipped,
            provenance=task.provenance(),
            profile=task.profile,
            job=job.id,
            started=started,
            ended=task.now(),
        )
    )


def model_only(job: Measure, cell: Cell, task: Task) -> tuple[list[float], dict[str, Any]]:
    """clips/s of forward passes over one random batch; what STA drops in number does not depend on content."""
    device, arch = pick_device(), architecture(cell.model)
    model = ready_model(cell.model, arch.num_classes, device)
    model.set_reduction(cell.reduction)
    stream = torch.Generator().manual_seed(0)
    video = torch.randn(job.batch_size, 3, arch.frames, arch.image, arch.image, generator=stream).to(device)
    step = timed_forward(model, video, job.precision)
    warm_up, rates = [], []
    for seconds in stable_warm_up(step):
        task.check_stop()
        warm_up.append(seconds)
    for number in range(job.samples):
        task.check_stop()
        rates.append(job.batch_size / step())
        task.update(number + 1, job.samples)
    details = {
        "warm_up_seconds": warm_up,
        "attention": attention_kernel(model, video, job.precision),
        "weights": "random",
        "input": "random",
        "peak_memory": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }
    return rates, details


def timed_forward(model: nn.Module, video: torch.Tensor, precision: str) -> Callable[[], float]:
    """A function that runs one forward pass and returns its seconds, by CUDA events on a GPU."""

    @torch.inference_mode()
    def on_gpu() -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        with autocast(precision, video.device):
            model(video)
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000

    @torch.inference_mode()
    def on_cpu() -> float:
        start = time.perf_counter()
        with autocast(precision, video.device):
            model(video)
        return time.perf_counter() - start

    return on_gpu if video.device.type == "cuda" else on_cpu


def stable_warm_up(step: Callable[[], float]) -> Iterator[float]:
    """Run `step` until its time is stable, yielding each time."""
    times: list[float] = []
    while len(times) < WARM_UP_MAX:
        times.append(step())
        yield times[-1]
        before, now = statistics.median(times[-10:-5] or [0.0]), statistics.median(times[-5:])
        if len(times) >= WARM_UP_MIN and abs(now - before) < STABLE * before:
            return


@torch.no_grad()
def attention_kernel(model: nn.Module, video: torch.Tensor, precision: str) -> list[str]:
    """The names of the attention operators that one forward pass ran."""
    names = set()

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            names.add(func.__name__.partition(".")[0])
            return func(*args, **(kwargs or {}))

    with Recorder(), autocast(precision, video.device):
        model(video)
    return sorted(name for name in names if "scaled_dot_product" in name)


def end_to_end(
    job: Measure, cell: Cell, task: Task, skipped: list[dict[str, str]]
) -> tuple[list[float], dict[str, Any]]:
    """clips/s with reading, decoding and resizing: one sample a block of videos, the first block is the warm-up.

    Unreadable videos go to `skipped`; the time they took counts.
    """
    assert job.dataset
    check_unchanged(task.runs, job.dataset)
    items = read_labels(job.dataset.labels, job.dataset.root, job.dataset.num_classes)
    blocks = split(len(items), job.block)[: job.samples + 1]
    if len(blocks) < 3:
        raise ValueError(f"{Path(job.dataset.labels)} has too few videos to time: {len(items)}")
    rates, forwards = [], 0
    for number, (_, content) in enumerate(Scorer(job.evaluation(), task).blocks(items, blocks)):
        if content.forwards:  # of a block without a readable video there is nothing to time
            rates.append(content.forwards / content.seconds)
        forwards += content.forwards
        skipped += unreadable(content, items)
        check_tolerance(skipped, blocks[-1][1], job.tolerance)
        task.update(number + 1, len(blocks))
    if len(rates) < 3:
        raise ValueError(f"{Path(job.dataset.labels)} has too few readable videos to time: {forwards} clips")
    return rates[1:], {"warm_up": rates[:1], "forwards": forwards, "weights": "random"}
