"""Scores on disk: one file a block of videos, and the accuracies that all blocks together give.

A block's file holds the softmax of every distinct view, and for each view grid which of them make it up. It is written
beside its place and moved in, so it is there whole or not at all, and a task that starts again skips it.
"""

import csv
import json
import math
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jobs.data.labels import Item
from jobs.spec.cells import Cell
from results.answers import digest
from results.files import private_folder, replacing
from results.provenance import git_state

RANKS = {"top1": 1, "top1_trained": 1, "top5": 5}
"""By metric, how many classes may be scored highest for the right one to count."""
BY_EARLIER_VERSIONS = {"costs": "gflops"}
"""How arrays of what is measured of each view were named."""


@dataclass
class ViewScores:
    """One reduction's scores of one video: `probabilities` (V, classes) float32 of its distinct views, and for each
    view grid the rows that make it up, `members[grid]` (clips · crops,)."""

    probabilities: np.ndarray
    members: dict[str, np.ndarray]
    per_clip: dict[str, np.ndarray] = field(default_factory=dict)
    """By metric (V,) what else is measured of the distinct views, as their multiply-adds."""

    def video_score(self, grid: str) -> np.ndarray:
        """The mean over the grid's views of the softmax, (classes,) float64 (protocol: section "Evaluation")."""
        return self.probabilities[self.members[grid]].mean(axis=0, dtype=np.float64)


@dataclass
class Block:
    """The results of a block of videos."""

    scores: dict[int, dict[str, ViewScores]] = field(default_factory=dict)
    """By video index and reduction."""
    skipped: dict[int, str] = field(default_factory=dict)
    """By video index, why it could not be read."""
    decodes: int = 0
    """How often a readable video was decoded from its beginning."""
    forwards: int = 0
    """Clips that went through a model."""
    seconds: float = 0.0
    """Wall time from asking for the first video to the last score."""
    commit: str = ""
    """The commit whose code made this block."""
    decoders: Counter[str] = field(default_factory=Counter)
    """How many videos each decoder read."""
    attention: dict[str, list[str]] = field(default_factory=dict)
    """By reduction the operators of attention that it ran."""


class BlockStore:
    """The finished blocks of one job, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = private_folder(folder)

    def path(self, block: tuple[int, int]) -> Path:
        return self.folder / f"{block[0]:07d}-{block[1]:07d}.npz"

    def finished(self, blocks: list[tuple[int, int]], fresh: bool = False) -> set[tuple[int, int]]:
        """Those of `blocks` whose files are there; `fresh` also sees what another host has just finished."""
        if fresh:
            # A network file system may list a folder as it was a minute ago, unless it has been changed from here
            # meanwhile: of two tasks that end together, each would miss the other's last block and add nothing up.
            with suppress(OSError):
                tempfile.NamedTemporaryFile(prefix=".", suffix=".tmp", dir=self.folder).close()
        names = set(os.listdir(self.folder))
        return {block for block in blocks if self.path(block).name in names}

    def write(self, block: tuple[int, int], content: Block) -> None:
        arrays: dict[str, np.ndarray] = {}
        for index, by_reduction in content.scores.items():
            for reduction, scores in by_reduction.items():
                arrays[f"{index}|{reduction}"] = scores.probabilities
                for metric, values in scores.per_clip.items():
                    arrays[f"{index}|{reduction}||{metric}"] = values
                for grid, rows in scores.members.items():
                    arrays[f"{index}|{reduction}|{grid}"] = rows
        summary = {
            "videos": sorted(content.scores),
            "skipped": content.skipped,
            "decodes": content.decodes,
            "forwards": content.forwards,
            "seconds": content.seconds,
            "commit": str(git_state()["commit"] or ""),
            "decoders": content.decoders,
            "attention": content.attention,
        }
        with replacing(self.path(block)) as temporary, open(temporary, "wb") as file:
            np.savez(file, summary=np.array(json.dumps(summary)), **arrays)  # type: ignore[arg-type]

    def read(self, block: tuple[int, int]) -> Block:
        """The block as written. FileNotFoundError where there is none; OSError where it is damaged, and then it is
        removed, so that the next attempt makes it again."""
        try:
            with np.load(self.path(block), allow_pickle=False) as file:
                summary = json.loads(str(file["summary"]))
                content = Block(
                    {index: {} for index in summary["videos"]},
                    {int(index): reason for index, reason in summary["skipped"].items()},
                    decodes=summary["decodes"],
                    forwards=summary["forwards"],
                    seconds=summary["seconds"],
                    commit=summary["commit"],
                    decoders=Counter(summary.get("decoders")),  # blocks of earlier versions do not say
                    attention=summary.get("attention", {}),
                )
                others = []
                for name in file.files:
                    index, *rest = name.split("|")
                    if len(rest) == 1:
                        content.scores[int(index)][rest[0]] = ViewScores(file[name], {})
                    elif rest:
                        others.append((int(index), rest, file[name]))
                for number, (reduction, grid, *metric), rows in others:
                    if metric:
                        name = BY_EARLIER_VERSIONS.get(metric[0], metric[0])
                        content.scores[number][reduction].per_clip[name] = rows
                    else:
                        content.scores[number][reduction].members[grid] = rows
                return content
        except FileNotFoundError:
            raise
        except Exception as error:
            self.remove(block)
            raise OSError(f"the scores in {self.path(block)} are damaged and were removed: run it again") from error

    def remove(self, block: tuple[int, int]) -> None:
        self.path(block).unlink(missing_ok=True)


@dataclass
class Spread:
    """Mean, standard deviation and range of numbers that come one after the other (Welford, 1962)."""

    count: int = 0
    mean: float = 0.0
    std: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, values: np.ndarray) -> None:
        for value in map(float, values):
            before, self.count = self.mean, self.count + 1
            self.mean += (value - before) / self.count
            squares = self.std**2 * (self.count - 1) + (value - before) * (value - self.mean)
            self.std = math.sqrt(squares / self.count)
            self.least, self.most = min(self.least, value), max(self.most, value)


@dataclass
class Totals:
    """What a whole job comes to; grows with the number of cells, not of videos."""

    correct: dict[Cell, int]
    """By cell of an accuracy."""
    spreads: dict[Cell, Spread]
    """By cell of what is measured of each view."""
    listed: int = 0
    """Videos in the label file, of which the job may have been asked for the first few."""
    evaluated: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    decodes: int = 0
    forwards: int = 0
    seconds: float = 0.0
    commits: set[str] = field(default_factory=set)
    right: dict[Cell, list[bool]] = field(default_factory=dict)
    """By cell of an accuracy, for each video in order whether it was classified as labelled."""
    seen: list[bool] = field(default_factory=list)
    """For each video in order, whether it was evaluated."""
    videos: str = ""
    """The digest of the videos and their order."""
    decoders: Counter[str] = field(default_factory=Counter)
    attention: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def total(
    store: BlockStore, blocks: list[tuple[int, int]], items: list[Item], cells: tuple[Cell, ...], per_video: Path
) -> Totals:
    """Add up all blocks, and write what was predicted for each video to the CSV file `per_video`."""
    judged = [cell for cell in cells if cell.metric in RANKS]
    totals = Totals(dict.fromkeys(judged, 0), {cell: Spread() for cell in cells if cell not in judged})
    columns = list(dict.fromkeys((cell.reduction, cell.views) for cell in cells))
    totals.right = {cell: [] for cell in totals.correct}
    totals.videos = digest((item.path, item.label) for item in items)
    with (
        replacing(per_video) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["video", "label", *(f"{reduction} {views}" for reduction, views in columns), "skipped"])
        for item, scores, reason in _videos(store, blocks, items, totals):
            totals.seen.append(bool(scores))
            predicted = _judge(item, scores, columns, totals) if scores else [""] * len(columns)
            if not scores:
                for right in totals.right.values():
                    right.append(False)
            writer.writerow([item.path, item.label, *predicted, reason])
    return totals


def _judge(item: Item, scores: dict[str, ViewScores], columns: list[tuple[str, str]], totals: Totals) -> list[int]:
    """Count a video as correct in each cell where it is, and add what is measured of its views; returns the class
    predicted in each column."""
    predicted, ranks = [], {}
    for reduction, views in columns:
        score = scores[reduction].video_score(views)
        predicted.append(int(score.argmax()))
        better = (score > score[item.label]).sum() + (score[: item.label] == score[item.label]).sum()
        ranks[reduction, views] = int(better)
    for cell in totals.correct:
        right = ranks[cell.reduction, cell.views] < RANKS[cell.metric]
        totals.correct[cell] += right
        totals.right[cell].append(right)
    for cell, spread in totals.spreads.items():
        found = scores[cell.reduction]
        spread.add(found.per_clip[cell.metric][found.members[cell.views]])
    return predicted


def _videos(
    store: BlockStore, blocks: list[tuple[int, int]], items: list[Item], totals: Totals
) -> Iterator[tuple[Item, dict[str, ViewScores], str]]:
    for block in blocks:
        content = store.read(block)
        totals.decodes += content.decodes
        totals.forwards += content.forwards
        totals.commits |= {content.commit} - {""}
        totals.seconds += content.seconds
        totals.decoders += content.decoders
        for reduction, operators in content.attention.items():
            totals.attention[reduction].update(operators)
        for item in items[slice(*block)]:
            if item.index in content.skipped:
                totals.skipped.append({"video": item.path, "reason": content.skipped[item.index]})
                yield item, {}, content.skipped[item.index]
            else:
                totals.evaluated += 1
                yield item, content.scores[item.index], ""
