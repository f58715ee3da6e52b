"""How long a training takes: its segments between restarts, its typical step, and hours projected from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.data.stream import Epoch
from results.spread import spread
from results.steps import Step

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
