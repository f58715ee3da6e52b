"""How long a training takes: its steps as they were, its segments between restarts, and hours projected from them."""

import csv
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

from jobs.data.stream import Epoch
from jobs.measure import spread

SETTLING = 3
"""Steps at the beginning of a segment, and of a phase in it, that are not typical: memory is first touched in them."""


@dataclass
class Segment:
    """What a training did between two interruptions, up to its last kept state. Seconds of wall time."""

    started: str
    """ISO 8601, UTC."""
    queue_s: float
    """From submission, or the end of the segment before it, to the start of the task."""
    startup_s: float
    """From there to the first step: imports, weights, videos listed."""
    machine: str
    """The GPU of the first process, or its CPU."""
    train_s: float = 0.0
    """From the first step on: steps, waiting for data and keeping states; no start-up and no evaluation."""
    data_s: float = 0.0
    """Of that, waiting for samples, also for those of slower processes."""
    checkpoint_s: float = 0.0
    """Of that, keeping states."""
    steps: int = 0


@dataclass(frozen=True)
class Step:
    """One optimiser step."""

    step: int
    """Counted from 1."""
    segment: int
    """Which run of the training did it, counted from 1."""
    frames: int
    """Frames of a clip."""
    loss: float
    """Mean over the batch."""
    lr: float
    seconds: float
    data_s: float
    """Of that, waiting for samples."""


class StepLog:
    """The steps of a training as a CSV file that is only ever added to: a step done again after a restart stands in it
    twice, and the last one counts."""

    def __init__(self, path: Path) -> None:
        before = path.read_bytes() if path.exists() else b""
        steps = read_steps(path)[0] if before else []
        self._segment = max((step.segment for step in steps), default=0) + 1
        self._file: TextIO = open(path, "a", newline="", encoding="ascii")  # noqa: SIM115  open as long as the training
        self._writer = csv.writer(self._file, lineterminator="\n")
        if not before:
            self._writer.writerow([field.name for field in fields(Step)])
        elif not before.endswith(b"\n"):
            # A step that was cut short by a kill must not run into the first one written now.
            self._file.write("\n")

    def add(self, step: Step) -> None:
        """Add a step to this log's segment; what a full disk does not take now is tried again with the next one."""
        self._writer.writerow((asdict(step) | {"segment": self._segment}).values())
        with suppress(OSError):
            self._file.flush()

    def close(self) -> None:
        """OSError where some steps could not be written."""
        self._file.close()


def read_steps(path: Path) -> tuple[list[Step], float]:
    """The steps in order, each as it was done last, and the seconds of those that were done again."""
    found: dict[int, Step] = {}
    repeated = 0.0
    kinds = [field.type for field in fields(Step)]
    with open(path, newline="", encoding="ascii") as file:
        for row in csv.reader(file):
            try:
                step = Step(*(int(text) if kind is int else float(text) for text, kind in zip(row, kinds, strict=True)))  # type: ignore[arg-type]
            except ValueError:
                continue  # the header, or a line cut short
            if step.step in found:
                repeated += found[step.step].seconds
            found[step.step] = step
    return [found[number] for number in sorted(found)], repeated


def typical(steps: Iterable[Step], frames: int) -> dict[str, Any]:
    """Median and interquartile range, seconds, of the steps on clips of `frames` frames, and how many they are.

    The first few of each segment are left out where others remain.
    """
    by_segment: dict[int, list[float]] = {}
    for step in steps:
        if step.frames == frames:
            by_segment.setdefault(step.segment, []).append(step.seconds)
    settled = [seconds for one in by_segment.values() for seconds in one[SETTLING:]]
    seconds = settled or [seconds for one in by_segment.values() for seconds in one]
    if len(seconds) < 2:
        return {"median": seconds[0], "iqr": 0.0, "steps": len(seconds)}
    median, iqr = spread(seconds)
    return {"median": median, "iqr": iqr, "steps": len(seconds)}


def projected_hours(epochs: Sequence[Epoch], steps: Sequence[Step]) -> float:
    """Hours of `epochs`: for each length of clips, its steps × the median of those that were done."""
    medians = {epoch.frames: typical(steps, epoch.frames)["median"] for epoch in epochs}
    return sum(epoch.steps * medians[epoch.frames] for epoch in epochs) / 3600
