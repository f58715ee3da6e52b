"""The training loop: samples, mixing, forward, backward, step; kept states; and what all of it took."""

import math
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.loss import SoftTargetCrossEntropy
from torch import Tensor

from jobs.data.labels import Item
from jobs.data.pool import DecodePool
from jobs.data.samples import SampleRequest, Samples, read_samples
from jobs.data.stream import Epoch, MicroBatch, Order, Place, SampleStream
from jobs.data.tolerance import check_tolerance
from jobs.node.device import normalise, to_device
from jobs.node.gang import Gang
from jobs.node.task import Cancelled, Stopped, Task, cancel_file
from jobs.spec.jobs import Train
from jobs.spec.recipe import accumulation
from jobs.spec.sampling import sampling
from jobs.training.engine import DTYPES, make_engine, make_schedule, whole_weights
from jobs.training.hours import Segment
from jobs.training.mixing import Mixing
from jobs.training.model import prepare_model
from jobs.training.report import TrainingReport, say
from jobs.training.restarts import RestartStore
from models.catalog import architecture
from results.progress import read_job
from results.provenance import machine, utc_now
from results.steps import Step

SKIPS = 50
"""Steps skipped in a row, because their gradients overflowed, after which a training is abandoned."""


class TrainingError(ValueError):
    """A training that cannot continue."""


@dataclass
class Outcome:
    """How a training went, beside its weights and its steps."""

    segments: list[Segment]
    broken: list[dict[str, str]]
    """Training videos that could not be read, as records name them."""
    notes: list[str]
    peak_memory: list[int]
    """Bytes, of each process: of its GPU's memory where it has one, else of its own."""
    device: str
    provenance: dict[str, Any]
    """Of the last segment's first process."""
    ended: str
    """ISO 8601, UTC."""


def timeline(job: Train, videos: int) -> list[Epoch]:
    """The epochs of a training on `videos` videos; with `measure_steps`, only that many steps of each phase."""
    epochs: list[Epoch] = []
    first, whole = 0, videos // job.recipe.batch
    for frames, steps in job.recipe.phases(architecture(job.model).frames, videos):
        wanted = min(job.measure_steps or steps, steps)
        parts = range(0, wanted, whole)
        epochs += [Epoch(first + n, frames, min(whole, wanted - start)) for n, start in enumerate(parts)]
        first += math.ceil(steps / whole)
    return epochs


class Trainer:
    """Trains in this process of the gang; made and run in all of them alike."""

    def __init__(self, job: Train, task: Task, gang: Gang, items: Sequence[Item], epochs: Sequence[Epoch]) -> None:
        self.job, self.task, self.gang, self.items, self.epochs = job, task, gang, items, epochs
        self.total = sum(epoch.steps for epoch in epochs)
        self.model = prepare_model(job)
        self.whole = self.model.arch.frames
        self.engine = make_engine(job, self.model, gang)
        self.schedule = make_schedule(job, self.engine, self.total, len(items) // job.recipe.batch)
        self.mixing = Mixing(job.recipe, job.dataset.num_classes)
        self.criterion = SoftTargetCrossEntropy()
        self.restarts = RestartStore(task.folder / "restart", gang)
        self.place = Place()
        self.done = 0
        self.segments: list[Segment] = []
        self.notes: list[str] = []
        self._go_on()
        self.skipped, self.in_a_row = self.engine.skipped_steps, 0

    def run(self, steps: Path) -> Outcome:
        """Train to the end, adding a line for each step to the file `steps`. Raises Stopped or Cancelled once asked to,
        after keeping a state, and TrainingError where the loss is no number."""
        segment = self._segment()
        began, kept = time.perf_counter(), self.done
        with (
            DecodePool(self.job.decoders, self.job.decode_timeout_s, decode=read_samples) as pool,
            TrainingReport(self.task, steps, self.gang.rank == 0, self.total, self.done) as report,
        ):
            stream = self._stream(pool)
            while self.done < self.total:
                epoch = self.place.epoch
                step = self._step(stream)
                segment.data_s += step.data_s
                segment.steps += 1
                report.add(step, self.job.recipe.batch * self.job.recipe.repeats, self._scale())
                segment.train_s = time.perf_counter() - began
                cancelled, stopped = self._asked()
                if self.place.epoch > epoch or cancelled or stopped:
                    kept = self._keep(segment, kept)
                    segment.train_s = time.perf_counter() - began
                if cancelled:
                    raise Cancelled("cancelled")
                if stopped and self.done < self.total:
                    raise self._stopped(kept)
        broken = self._named(self.place.broken)
        if self.engine.skipped_steps:
            self.notes.append(
                f"{self.engine.skipped_steps} of {self.total} steps were skipped: their gradients overflowed"
            )
        memory = self.gang.gather(self._peak_memory())
        provenance = self.task.provenance()
        return Outcome(self.segments, broken, self.notes, memory, self.gang.device.type, provenance, utc_now())

    def weights(self) -> dict[str, Tensor]:
        """The weights in float32 on the CPU; to be asked for in all processes."""
        return whole_weights(self.engine)

    def _step(self, stream: SampleStream) -> Step:
        """One optimiser step; returns when the device is done with it."""
        began, waited = time.perf_counter(), 0.0
        losses: list[Tensor] = []
        epoch = self.epochs[self.place.epoch]
        self._set_frames(epoch.frames)
        self.schedule.step_update(self.done)
        batches = stream.step()
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - asked
            if batch is None:
                break
            losses.append(self._micro_step(batch, len(losses)))
        loss = self.gang.mean(torch.stack(losses).mean())
        self.done += 1
        self._check_skips()
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {self.done} of {self.total} (epoch {epoch.number + 1}); "
                "lower train.base_lr, or try train.precision=fp32"
            )
        lr = max(group["lr"] for group in self.engine.optimizer.param_groups)
        return Step(self.done, len(self.segments), epoch.frames, loss, lr, time.perf_counter() - began, waited)

    def _check_skips(self) -> None:
        """TrainingError where the optimiser has skipped more steps in a row than a loss scale can explain."""
        self.in_a_row = self.in_a_row + 1 if self.engine.skipped_steps > self.skipped else 0
        self.skipped = self.engine.skipped_steps
        if self.in_a_row == SKIPS:
            raise TrainingError(
                f"the gradients of {SKIPS} steps in a row, up to step {self.done} of {self.total}, were not finite and "
                "the steps were skipped; lower train.base_lr, or try train.precision=fp32"
            )

    def _micro_step(self, batch: MicroBatch, number: int) -> Tensor:
        """Forward and backward over one micro-batch; its loss, on the device."""
        device, dtype = self.gang.device, DTYPES[self.job.recipe.precision]
        clips = normalise(to_device(batch.clips, device), self.model.arch)
        labels = to_device(batch.labels, device)
        clips, targets = self.mixing(clips, labels, (self.done, number, self.gang.rank))
        branches = to_device(batch.branches, device)
        loss = self.criterion(self.engine(clips.to(dtype), branches).float(), targets)
        self.engine.backward(loss)
        self.engine.step()
        return loss.detach()

    def _set_frames(self, frames: int) -> None:
        """Let the model take clips of `frames` frames, short ones anywhere among the positions of a whole one.

        Drawing the place at random teaches every position before the first whole clip comes.
        """
        slots = (self.whole - frames) // self.model.arch.tubelet
        slot = int(np.random.default_rng((self.job.recipe.seed, self.done)).integers(slots + 1)) if slots else 0
        if slots or self.model.arch.frames != frames:
            self.model.set_frames(frames, slot)

    def _stream(self, pool: DecodePool[SampleRequest, Samples]) -> SampleStream:
        job, recipe, arch = self.job, self.job.recipe, architecture(self.job.model)

        def request(frames: int, seeds: tuple[tuple[int, ...], ...]) -> SampleRequest:
            return SampleRequest.by(
                recipe,
                seeds=seeds,
                sampling=sampling(arch.sampling, job.dataset.sampling, frames, job.dataset.stride),
                side=arch.image,
                branches=2 * arch.depth,
            )

        micro_batches = accumulation(recipe.batch, job.processes, job.micro_batch)
        order = Order(recipe.seed, recipe.repeats, job.micro_batch, micro_batches, ahead=2 * job.decoders)
        return SampleStream(self.items, self.epochs, self.place, self.gang, pool, request, order, self._accept)

    def _accept(self, broken: dict[int, str]) -> None:
        """Raise if there are too many broken videos."""
        named = self._named(broken)
        check_tolerance(named, len(self.items), self.job.tolerance, "train.tolerance", "training videos")

    def _named(self, broken: dict[int, str]) -> list[dict[str, str]]:
        """Broken videos as records name them."""
        return [{"video": self.items[index].path, "reason": reason} for index, reason in broken.items()]

    def _asked(self) -> tuple[bool, bool]:
        """Whether this training was cancelled, and whether some process was asked to stop; the same answer in all."""
        cancelled = self.gang.rank == 0 and cancel_file(self.task.runs, self.task.job_id).exists()
        cancelled, stopped = self.gang.agree([cancelled, bool(self.task.stop.by)])
        return bool(cancelled), bool(stopped)

    def _keep(self, segment: Segment, before: int) -> int:
        """Keep a state of now; returns the step whose state is kept, that of `before` where this one could not be."""
        began = time.perf_counter()
        place = asdict(self.place) | {"broken": {str(index): text for index, text in self.place.broken.items()}}
        position = {
            "place": place,
            "done": self.done,
            "segments": [asdict(one) for one in self.segments],
            "notes": self.notes,
        }
        problem = self.restarts.save(self.engine, self.done, position)
        segment.checkpoint_s += time.perf_counter() - began
        if not problem:
            return self.done
        last = f"that of step {before} is kept" if before else "there is none yet"
        self.notes.append(f"the state after step {self.done} could not be saved ({problem}); {last}")
        if self.gang.rank == 0:
            say(self.notes[-1])
        return before

    def _go_on(self) -> None:
        """Take up the newest state kept by an earlier run of this job, if there is one."""
        position, refused = self.restarts.load(self.engine)
        if position:
            place = position["place"]
            self.place = Place(**place | {"broken": {int(index): text for index, text in place["broken"].items()}})
            self.done = position["done"]
            self.segments = [Segment(**one) for one in position["segments"]]
            self.notes = position["notes"]
        self.notes += refused
        if self.gang.rank == 0 and (position or refused):
            say("; ".join([*refused, f"resuming after step {self.done} of {self.total}"]))

    def _segment(self) -> Segment:
        """A new segment of the training, from now on."""
        job = read_job(self.task.runs, self.task.job_id)
        started = job.tasks[self.task.index].started or utc_now()
        entry = job.entries.get(self.task.index)
        submitted = entry.time if entry else started
        asked, began, now = (datetime.fromisoformat(text) for text in (submitted, started, utc_now()))
        if self.segments:  # SLURM may have started it again without a new submission
            last = self.segments[-1]
            ran = timedelta(seconds=last.startup_s + last.train_s)
            asked = max(asked, datetime.fromisoformat(last.started) + ran)
        queued = (began - asked).total_seconds()
        found = machine()
        self.segments.append(
            Segment(started, max(queued, 0.0), (now - began).total_seconds(), str(found["gpu"] or found["cpu"]))
        )
        return self.segments[-1]

    def _stopped(self, kept: int) -> Stopped:
        """The same in all processes."""
        by = next((name for name in self.gang.gather(self.task.stop.by) if name), "")
        done = f"asked to stop ({by}) after step {self.done} of {self.total}"
        return Stopped(f"{done}; the same command resumes after step {kept}", by)

    def _scale(self) -> float:
        """fp16's loss scale; 1 without."""
        return float(self.engine.optimizer.loss_scale) if self.job.recipe.precision == "fp16" else 1.0

    def _peak_memory(self) -> int:
        if self.gang.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
