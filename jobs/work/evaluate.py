"""Accuracy in one pass: each video is decoded once, each distinct view runs once a reduction, for all cells.

Videos are cut into blocks that do not depend on how many tasks share them. Batches are filled within a block, across
its videos, so a block's scores are the same in any task, and a task that is killed repeats one block at most.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jobs.data.decoding.faults import Unreadable
from jobs.data.labels import Item, read_labels
from jobs.data.pool import DecodePool
from jobs.data.requests import Video
from jobs.data.tolerance import TooManyUnreadable, check_tolerance
from jobs.data.views import View
from jobs.node.device import Copies, autocast, normalise, pick_device, ready_model
from jobs.node.kernels import chosen
from jobs.node.task import Task
from jobs.spec.blocks import share, split
from jobs.spec.cells import Cell
from jobs.spec.jobs import Checkpoint, Dataset, Evaluate, Job
from jobs.spec.sources import NO_WEIGHTS
from jobs.work.clips import clip_request, cut, views_of_video
from jobs.work.per_clip import PER_CLIP, forward_observed
from jobs.work.scores import Block, BlockStore, Totals, ViewScores, total
from jobs.work.timing import attention_run
from models.catalog import architecture
from models.plugin_code import file_of, is_plugin, line_of, own
from models.reduction import method_of
from results.answers import NAME, Answers, bits, packed
from results.digests import content_sha256
from results.metrics import METRICS
from results.records import Record


def run(job: Evaluate, task: Task) -> None:
    """Do this task's blocks of the job; the task that finds all blocks finished writes the records."""
    totals = evaluate(job, task, task.folder)
    if totals:
        write_accuracies(job, job.cells, job, task, totals, f"jobs/{job.id}", notes=[])


def evaluate(job: Evaluate, task: Task, folder: Path) -> Totals | None:
    """Do this task's blocks, kept in `folder`; the totals where all blocks are finished by now."""
    task.check_stop()
    check_unchanged(task.runs, job.dataset, job.checkpoint)
    listed = read_labels(job.dataset.labels, job.dataset.root, job.dataset.num_classes, job.dataset.classes)
    items = listed[: job.limit or None]
    blocks = split(len(items), job.block)
    store = BlockStore(folder / "blocks")
    mine = share(blocks, task.index, task.count)
    finished = store.finished(mine)
    open_blocks = [block for block in mine if block not in finished]
    ready, videos = (sum(end - start for start, end in part) for part in (finished, mine))
    task.update(ready, videos)
    try:
        skipped: list[dict[str, str]] = []
        for block, content in Scorer(job, task).blocks(items, open_blocks) if open_blocks else ():
            store.write(block, content)
            skipped += unreadable(content, items)
            ready += block[1] - block[0]
            task.update(ready, videos)
            check_tolerance(skipped, len(items), job.tolerance)
        if len(store.finished(blocks, fresh=True)) < len(blocks):
            return None
        try:
            totals = total(store, blocks, items, job.cells, folder / "videos.csv")
        except FileNotFoundError:
            return None  # another task has added up too, found too many unreadable, and says so
        check_tolerance(totals.skipped, len(items), job.tolerance)
        return replace(totals, listed=len(listed))
    except TooManyUnreadable:
        for block in store.finished(blocks):  # the next attempt looks at the unreadable videos again
            with suppress(OSError):
                if store.read(block).skipped:
                    store.remove(block)
        raise


class Scorer:
    """Decodes blocks of videos and scores their views under every reduction that is asked for."""

    def __init__(self, job: Evaluate, task: Task | None = None) -> None:
        self.job = job
        self.task = task
        self.requests = job.requests()
        self.device = pick_device()
        torch.set_num_threads(job.threads)
        dataset = job.dataset
        weights, stride = job.checkpoint.path, dataset.trained_stride
        about = job.precision, job.kernels.compile
        self.model = ready_model(job.model, dataset.num_classes, self.device, weights, stride, *about)
        self.per_clip: dict[str, set[str]] = {reduction: set() for reduction in self.requests}
        """By reduction the metrics that are measured of each clip beside its scores."""
        for cell in job.cells:
            self.per_clip[cell.reduction].update({cell.metric}.intersection(PER_CLIP))
        self.attention: dict[str, list[str]] = {}
        """By reduction the operators of attention that it runs."""
        self.grids = tuple(dict.fromkeys(grid for grids in self.requests.values() for grid in grids))
        self.together: dict[tuple[str, ...], list[str]] = {}
        """By view grids the reductions that take the same clips, in the same batches, and so share what they can."""
        for reduction, grids in self.requests.items():
            self.together.setdefault(grids, []).append(reduction)

    def blocks(self, items: list[Item], blocks: list[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], Block]]:
        """Score `blocks` of `items` in order; decoding runs ahead by up to a block."""
        request = clip_request(self.job.dataset, architecture(self.job.model), self.grids)
        wanted = (((block, item), item.file, request) for block in blocks for item in items[slice(*block)])
        with DecodePool(self.job.decoders, self.job.decode_timeout_s, ahead=self.job.block) as pool:
            videos: dict[int, Video] = {}
            content, began = Block(), time.perf_counter()
            for (block, item), found in pool.read(wanted):
                if self.task:
                    self.task.check_stop()
                if isinstance(found, Unreadable):
                    content.skipped[item.index] = str(found)
                else:
                    videos[item.index] = found
                    content.decodes += found.passes
                    content.decoders[found.decoder] += 1
                if item.index == block[1] - 1:
                    self.score(videos, content)
                    content.attention = self.attention
                    content.seconds = time.perf_counter() - began
                    yield block, content
                    videos, content, began = {}, Block(), time.perf_counter()

    @torch.inference_mode()
    def score(self, videos: dict[int, Video], content: Block) -> None:
        """Run every distinct view of `videos` under every reduction, batches filled across the videos."""
        frames = Copies({index: video.frames for index, video in videos.items()}, self.device)
        content.scores = {index: {} for index in videos}
        for grids, reductions in self.together.items():
            clips: list[tuple[int, View]] = []
            for index, video in videos.items():
                distinct, members = views_of_video(self.job, video, grids)
                clips += [(index, view) for view in distinct]
                for reduction in reductions:
                    empty = np.empty((len(distinct), self.job.dataset.num_classes), np.float32)
                    content.scores[index][reduction] = ViewScores(empty, members)
            found = self._forward(clips, videos, frames, reductions)
            content.forwards += len(clips) * len(reductions)
            for reduction, (scores, values) in zip(reductions, found, strict=True):
                check_finite(scores, self.job.model, reduction, self.job.precision)
                start = 0
                for index in videos:
                    target = content.scores[index][reduction]
                    end = start + len(target.probabilities)
                    target.probabilities[:] = scores[start:end]
                    target.per_clip = {metric: taken[start:end] for metric, taken in values.items()}
                    start = end

    def _forward(
        self,
        clips: list[tuple[int, View]],
        videos: dict[int, Video],
        frames: Copies,
        reductions: list[str],
    ) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Under each reduction the softmax (views, classes) of `clips`, in batches, and by metric what else is measured
        of each (views,)."""
        side = architecture(self.job.model).image
        out: list[list[Tensor]] = [[] for _ in reductions]
        values: list[dict[str, list[float]]] = [{name: [] for name in self.per_clip[one]} for one in reductions]
        for start in range(0, len(clips), self.job.batch_size):
            if self.task:
                self.task.check_stop()
            batch = [
                cut(frames[index], videos[index], view, side)
                for index, view in clips[start : start + self.job.batch_size]
            ]
            with chosen(self.job.kernels), autocast(self.job.precision, self.device):
                taken = normalise(torch.stack(batch), self.model.arch)
                self._watch_attention(taken, reductions)
                logits, observed = forward_observed(self.model, taken, reductions, self.per_clip, check=not start)
            for number in range(len(reductions)):
                out[number].append(logits[number].float().softmax(dim=-1))
                for metric, some in observed[number].items():
                    values[number][metric] += some
        empty = np.empty((0, self.job.dataset.num_classes), np.float32)
        scores = [torch.cat(one).cpu().numpy() if one else empty for one in out]
        arrays = [{metric: np.array(some) for metric, some in by_metric.items()} for by_metric in values]
        return list(zip(scores, arrays, strict=True))

    def _watch_attention(self, clips: Tensor, reductions: list[str]) -> None:
        """Note of each reduction once which operators of attention it runs: on a clip, or, where the numbers of tokens
        may differ from clip to clip, on all."""
        for reduction in reductions:
            if reduction not in self.attention:
                self.model.set_reduction(reduction)
                taken = clips if self.model.reduction.by_content else clips[:1]
                self.attention[reduction] = attention_run(self.model, taken, self.job.precision)


def check_finite(scores: np.ndarray, model: str, reduction: str, precision: str) -> None:
    """ValueError where some of the scores are not numbers."""
    if not np.isfinite(scores).all():
        what = f"{model} with {reduction} in {precision} gives scores that are not finite"
        method = method_of(reduction)
        if is_plugin(method) and (function := own(method, ("keep", "choose"))):
            what += f"; see {file_of(function)}, line {line_of(function)}"
        raise ValueError(f"{what}; try --set evaluate.precision=fp32")


def unreadable(block: Block, items: list[Item]) -> list[dict[str, str]]:
    """The videos of a block that could not be read, and why, as records name them."""
    return [{"video": items[index].path, "reason": reason} for index, reason in block.skipped.items()]


def check_unchanged(runs: Path, dataset: Dataset, checkpoint: Checkpoint = NO_WEIGHTS) -> None:
    """ValueError where the content of the label file or of the weights is not what the job was planned for."""
    changed = []
    if dataset.labels and content_sha256(dataset.lists, runs) != dataset.labels_sha256:
        changed.append(dataset.labels)
    if checkpoint.path and checkpoint != Checkpoint.of(Path(checkpoint.path), runs):
        changed.append(checkpoint.path)
    if changed:
        raise ValueError(f"{changed[0]} has changed since this job was planned; run the sweep again")


def write_accuracies(
    job: Job, cells: Iterable[Cell], evaluated: Evaluate, task: Task, totals: Totals, folder: str, notes: list[str]
) -> None:
    """A record for each of `cells` of `job`, which were evaluated as `evaluated` says; `folder`, in the runs folder,
    has the scores."""
    provenance = task.provenance()
    provenance["checkpoint_sha256"] = evaluated.checkpoint.sha256
    provenance["commits"] = sorted(totals.commits)
    common = {
        "per_video": f"{folder}/videos.csv",
        "per_view": f"{folder}/blocks",
        "decodes": totals.decodes,
        "decoders": dict(sorted(totals.decoders.items())),
        "forwards": totals.forwards,
        "seconds": totals.seconds,
    }
    for cell in cells:
        if cell in totals.spreads:
            spread, scale = totals.spreads[cell], PER_CLIP[cell.metric].scale
            value = spread.mean / scale
            samples: dict[str, Any] = {name: one / scale for name, one in vars(spread).items() if name != "count"}
            samples["views"] = spread.count
        else:
            value = 100 * totals.correct[cell] / totals.evaluated
            right, seen = bits(totals.right[cell]), bits(totals.seen)
            answers = packed(Answers(len(totals.seen), right, seen, totals.videos))
            samples = {"correct": totals.correct[cell], NAME: answers}
        samples["attention"] = sorted(totals.attention[cell.reduction])
        task.write(
            Record(
                id=job.record_id(cell),
                cell=vars(cell),
                value=value,
                unit=METRICS[cell.metric].unit,
                status="done" if totals.evaluated == totals.listed else "partial",
                settings=job.settings(cell) | {"batch_size": evaluated.batch_size, "device": pick_device().type},
                samples=samples | common,
                counts={"evaluated": totals.evaluated, "listed": totals.listed},
                skipped=totals.skipped,
                notes=notes,
                provenance=provenance,
                profile=task.profile,
                job=job.id,
                started=task.started(),
                ended=task.now(),
            )
        )
