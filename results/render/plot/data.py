"""Plots as data: series of points, measured ones beside published ones."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

NAMED = 3
"""Points that a note names one by one."""
CROWDED = 1000
"""Points above which a plot shows where they lie alone: without bars, and without what each of them is."""


@dataclass(frozen=True)
class Point:
    """One value of one series, in the units of the plot's axes."""

    x: float
    y: float
    label: str
    """What the point is, shown when it is pointed at."""
    x_low: float | None = None
    x_high: float | None = None
    """The ends of its error bar along x; None where there is none."""
    y_low: float | None = None
    y_high: float | None = None
    record: str = ""
    """The id of the record behind it."""
    published: bool = False
    """Printed by the paper, not measured: drawn hollow."""
    tag: str = ""
    """A word or two that stand beside its marker where there is room."""
    doubts: tuple[str, ...] = ()
    """What makes its value doubtful."""
    inferred: str = ""
    """What of its settings the paper leaves out."""

    def __post_init__(self) -> None:
        ends = (self.x_low, self.x_high, self.y_low, self.y_high)
        assert all(math.isfinite(number) for number in (self.x, self.y, *ends) if number is not None), self

    @property
    def marks(self) -> str:
        """`!` of a doubtful value, `†` of inferred settings, as in a table."""
        return "!" * bool(self.doubts) + "†" * bool(self.inferred)

    @property
    def caption(self) -> str:
        """What the point is, with what there is to say against it."""
        said = "; ".join([*self.doubts, *([f"† inferred: {self.inferred}"] if self.inferred else [])])
        return f"{self.label} ({said})" if said else self.label


@dataclass(frozen=True)
class Series:
    """Points that belong together, and share a colour, a marker and a line style."""

    name: str
    points: tuple[Point, ...]
    line: bool = False
    """Joined in order."""
    markers: bool = True
    """False for a curve: many points, a line alone."""
    beside: str = ""
    """The name of the series whose colour, marker and line style this one shares."""


@dataclass(frozen=True)
class Plot:
    """One picture. `name` is its files' name and what the ids in its SVG begin with."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    notes: tuple[str, ...] = ()
    """What a reader must know of it: what its bars are, what is hollow."""
    diagonal: bool = False
    """Whether y = x is drawn, where a speed-up equals the ratio of the FLOPs."""

    def __post_init__(self) -> None:
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", self.name), self.name
        assert any(series.points for series in self.series), self

    @property
    def crowded(self) -> bool:
        """Whether it has too many points to say of each what it is."""
        return is_crowded(self.series)

    def marked(self) -> Iterator[tuple[str, Series, Point]]:
        """The points with a marker, each with the id of its marker in the SVG; none where there are too many."""
        if self.crowded:
            return
        points = ((series, point) for series in self.series if series.markers for point in series.points)
        for number, (series, point) in enumerate(points):
            yield f"{self.name}-point-{number}", series, point


def is_crowded(series: Iterable[Series]) -> bool:
    """Whether there are more points with a marker than can be told apart."""
    return sum(len(one.points) for one in series if one.markers) > CROWDED


def without_bars(series: Sequence[Series]) -> tuple[list[Series], list[str]]:
    """The series, without bars where they are crowded, and a note that says so."""
    if not is_crowded(series):
        return list(series), []
    bare = [replace(one, points=tuple(map(_without_bars, one.points))) for one in series]
    return bare, [f"more than {CROWDED:,} points: without bars, and without what each of them is"]


def _without_bars(point: Point) -> Point:
    return replace(point, x_low=None, x_high=None, y_low=None, y_high=None)


def tips(plot: Plot) -> dict[str, dict[str, str]]:
    """By the id of each marker, what it shows in words and the id of its record, empty where there is none."""
    return {
        id: {
            "text": f"{point.caption}; {_told(plot.x_label, point.x, point.x_low, point.x_high)}; "
            f"{_told(plot.y_label, point.y, point.y_low, point.y_high)}",
            "record": point.record,
        }
        for id, _, point in plot.marked()
    }


def marked_notes(points: Iterable[Point]) -> list[str]:
    """A line for each thing that the marks of the points stand for, naming the points."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for point in points:
        said = [("!", doubt) for doubt in point.doubts]
        said += [("†", f"inferred, {point.inferred}")] if point.inferred else []
        for mark_and_text in said:
            found.setdefault(mark_and_text, {})[point.label] = None
    return [
        f"{mark} {'; '.join(labels) if len(labels) <= NAMED else f'{len(labels)} points'}: {text}"
        for (mark, text), labels in found.items()
    ]


def _told(label: str, value: float, low: float | None, high: float | None) -> str:
    ends = f" ({_number(low)} to {_number(high)})" if low is not None and high is not None else ""
    return f"{label}: {_number(value)}{ends}"


def _number(value: float) -> str:
    """A number with the four digits that a reader of a plot can use, and all of its whole ones."""
    return f"{value:.0f}" if abs(value) >= 10000 else f"{value:.4g}"
