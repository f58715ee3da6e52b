"""What a model takes: clips/s, latency and memory of the model alone, or clips/s with reading and decoding.

Protocol: section "Evaluation", throughput: mixed precision at a fixed batch size, warm-up, then timed samples.
"""

import math
import statistics
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jobs.data.labels import read_labels
from jobs.data.tolerance import check_tolerance
from jobs.node.device import autocast, check_gpu, normalise, pick_device, ready_model
from jobs.node.kernels import chosen
from jobs.node.task import Task
from jobs.spec.blocks import split
from jobs.spec.cells import Cell
from jobs.spec.jobs import Measure
from jobs.work.clips import sample_clips
from jobs.work.evaluate import Scorer, check_unchanged, unreadable
from jobs.work.timing import attention_run, peak_memory, stable_warm_up, timed_forward
from models.catalog import architecture
from models.plugin_code import Misuse, fault, file_of, line_of
from models.video_model import VideoModel
from results.metrics import MEASURES, METRICS
from results.records import Record
from results.spread import spread, spread_flags

GIB = 2**30


def run(job: Measure, task: Task) -> None:
    """Measure the job's cells, all of one model and reduction."""
    task.check_stop()
    torch.set_num_threads(job.threads)
    check_gpu(job.gpus)
    skipped: list[dict[str, str]] = []
    model_only = None if job.end_to_end else _Forward(job, task, skipped)
    for number, cell in enumerate(job.cells):
        started = task.now()
        with chosen(job.kernels):
            values, details = model_only.take(cell) if model_only else _end_to_end(job, cell, task, skipped)
        median, iqr = spread(values)
        value = max(values) if cell.metric == "peak_memory_gib" else median
        if cell.metric in MEASURES:
            value = statistics.fmean(values)
        task.write(
            Record(
                id=job.record_id(cell),
                cell=vars(cell),
                value=value,
                unit=METRICS[cell.metric].unit,
                status="done",
                settings=job.settings(cell) | {"device": pick_device().type},
                samples={cell.metric: values, "median": median, "iqr": iqr} | details,
                flags=spread_flags(median, iqr),
                skipped=skipped,
                provenance=task.provenance(),
                profile=task.profile,
                job=job.id,
                started=started,
                ended=task.now(),
            )
        )
        task.update(number + 1, len(job.cells))


class _Forward:
    """Takes clips forward through the job's model: random ones, or those of its dataset where their content counts."""

    def __init__(self, job: Measure, task: Task, skipped: list[dict[str, str]]) -> None:
        self.job, self.task = job, task
        cell = job.cells[0]
        device, arch = pick_device(), architecture(cell.model)
        classes = job.dataset.num_classes if job.dataset else arch.num_classes
        stride = job.dataset.trained_stride if job.dataset else None
        about = job.precision, job.kernels.compile
        self.model: VideoModel = ready_model(cell.model, classes, device, job.checkpoint.path, stride, *about)
        self.model.set_reduction(cell.reduction)
        self.device = device
        if job.dataset:
            check_unchanged(task.runs, job.dataset, job.checkpoint)
            self.clips = sample_clips(job.evaluation(), job.clips, task, skipped)
        else:
            shape = job.batch_size, 3, arch.frames, arch.image, arch.image
            self.clips = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)

    def take(self, cell: Cell) -> tuple[list[float], dict[str, Any]]:
        """Values of a cell's metric, one a sample, and what else the record says."""
        parts = self.clips.split(self.job.batch_of(cell.metric))
        batches = (self._ready(part) for part in cycle(parts))
        details: dict[str, Any] = {
            "attention": attention_run(self.model, next(batches), self.job.precision),
            "weights": self.job.checkpoint.path or "random",
            "input": f"{len(self.clips)} clips of {self.job.dataset.name}" if self.job.dataset else "random",
        }
        if cell.metric == "peak_memory_gib":
            taken = [peak_memory(self.model, next(batches), self.job.precision) for _ in range(len(parts) + 1)]
            return [one / GIB for one in taken], details
        if cell.metric in MEASURES:
            return [self._users(cell.metric, next(batches)) for _ in range(max(len(parts), 2))], details
        warm_up, seconds = self._time(batches)
        details["warm_up_seconds"] = warm_up
        if cell.metric == "latency_ms":
            return [1000 * one for one in seconds], details
        assert cell.metric == "clips_per_s", cell.metric
        return [len(parts[0]) / one for one in seconds], details

    @torch.inference_mode()
    def _users(self, metric: str, clips: Tensor) -> float:
        """What a user's metric is of these clips; ValueError that names its file and line where it is no number."""
        function = MEASURES[metric]
        try:
            with autocast(self.job.precision, clips.device):
                value = float(function(self.model, clips))
            if not math.isfinite(value):
                raise Misuse(f"{metric} is {value}, and must be a finite number")
        except (MemoryError, OSError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise fault(error, file_of(function), line_of(function)) from error
        return value

    def _ready(self, clips: Tensor) -> Tensor:
        return normalise(clips.to(self.device), self.model.arch) if self.job.dataset else clips

    def _time(self, batches: Iterator[Tensor]) -> tuple[list[float], list[float]]:
        step = timed_forward(self.model, self.job.precision)
        warm_up = []
        for one in stable_warm_up(lambda: step(next(batches))):
            self.task.check_stop()
            warm_up.append(one)
        seconds = []
        for _ in range(self.job.samples):
            self.task.check_stop()
            seconds.append(step(next(batches)))
        return warm_up, seconds


def _end_to_end(
    job: Measure, cell: Cell, task: Task, skipped: list[dict[str, str]]
) -> tuple[list[float], dict[str, Any]]:
    """clips/s with reading, decoding and resizing: one sample a block of videos, the first block is the warm-up.

    Unreadable videos go to `skipped`; the time they took counts.
    """
    assert job.dataset
    check_unchanged(task.runs, job.dataset, job.checkpoint)
    items = read_labels(job.dataset.labels, job.dataset.root, job.dataset.num_classes, job.dataset.classes)
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
    return rates[1:], {"warm_up": rates[:1], "forwards": forwards, "weights": job.checkpoint.path or "random"}
