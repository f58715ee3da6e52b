"""The course of the trainings behind a table: how long their steps took, and their loss."""

import csv
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.reporting.table_places import Place
from results.metrics import METRICS
from results.progress import job_folder
from results.render.plot import Plot, Point, Series
from results.seeds import run_name
from results.steps import read_steps

MOST = 400
"""Points of a curve; of a longer training each stands for a block of steps."""
STEPS = "steps.csv"


@dataclass(frozen=True)
class Course:
    """A training from beginning to end, thinned out."""

    steps: list[float]
    """Optimiser steps, counted from 1."""
    seconds: list[float]
    loss: list[float]


def curves(name: str, places: Iterable[Place], runs: Path) -> list[Plot]:
    """Step times and loss, a line a training, from what the trainings of these records left in `runs`."""
    trainings: dict[str, str] = {}
    for place in places:
        if METRICS[place.cell.metric].job == "train":
            for seed, record in place.runs.items():
                trainings.setdefault(record.job, run_name(f"{place.ran}, {place.cell.reduction}", seed))
    names, notes = Counter(trainings.values()), []
    lines: dict[str, list[Series]] = {"seconds": [], "loss": []}
    for job, training in trainings.items():
        label = f"{training}, job {job}" if names[training] > 1 else training
        try:
            course, block = _read(job, runs)
        except ValueError as error:
            notes.append(f"{label} is not drawn: {error}")
            continue
        if block > 1:
            notes.append(f"{label}: each point is the median of {block} steps")
        for kind, values in (("seconds", course.seconds), ("loss", course.loss)):
            points = tuple(Point(x, y, label) for x, y in zip(course.steps, values, strict=True))
            lines[kind].append(Series(label, points, line=True, markers=False))
    if not lines["loss"]:
        return []
    labels = {"seconds": ("step time over training", "seconds a step"), "loss": ("loss over training", "loss")}
    return [
        Plot(f"{name}-{kind}", title, "optimiser step", label, tuple(lines[kind]), tuple(notes))
        for kind, (title, label) in labels.items()
    ]


def thinned(values: Sequence[float], block: int) -> list[float]:
    """The medians of each `block` values and of the rest."""
    return [statistics.median(values[at : at + block]) for at in range(0, len(values), block)]


def _read(job: str, runs: Path) -> tuple[Course, int]:
    """The course of a training and how many steps a point stands for; ValueError saying what is wrong with its file."""
    path = job_folder(runs, job) / STEPS
    if Path(job).name != job:
        raise ValueError(f"{job!r} is not a job")
    try:
        found = path.stat()
        if not path.is_file():
            raise ValueError(f"{path} is not a file")
        return _course(path, found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from None


@lru_cache(maxsize=32)
def _course(path: Path, size: int, modified: int) -> tuple[Course, int]:
    """As `_read`; a page that is served draws the same trainings again and again, and reading a long one takes a second
    or two."""
    try:
        steps = [step for step in read_steps(path)[0] if math.isfinite(step.loss) and math.isfinite(step.seconds)]
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text") from None
    if not steps:
        raise ValueError(f"{path} has no steps")
    block = -(-len(steps) // MOST)
    columns = [step.step for step in steps], [step.seconds for step in steps], [step.loss for step in steps]
    return Course(*(thinned(column, block) for column in columns)), block
