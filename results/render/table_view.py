"""What a renderer is given: rows, columns, and an entry for each cell, measured beside printed."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from results.metrics import METRICS

STATUSES = ("done", "partial", "failed", "running", "pending", "projected", "printed")
"""What is printed only is of a model that there is not."""

_MOST = 6


@dataclass(frozen=True)
class Entry:
    """One cell of a table: where it stands, what was measured, what the paper prints."""

    row: str
    column: str
    metric: str
    value: float | None = None
    published: float | None = None
    status: str = "pending"
    note: str = ""
    """Why it failed, or what a reader must know of the value."""
    inferred: str = ""
    """What about this cell the paper leaves out."""
    record: str | None = None
    """The id of the record behind the value."""
    evaluated: int = 0
    listed: int = 0
    """Of a partial value: videos evaluated of videos listed."""
    progress: float | None = None
    """Of a running cell: the fraction done, 0 to 1."""
    flags: Sequence[str] = ()
    """Doubts about the value."""
    cancelled: bool = False
    """Of a failed cell: whether that was the user's wish."""
    signed: bool = False
    """Whether the values are changes, and shown with their signs."""
    interval: tuple[float, float] | None = None
    """The 95 % interval of a change, in its unit."""
    chance: bool = False
    """Whether a change is not distinguishable from none."""
    deviation: float | None = None
    """Of a mean over runs: their standard deviation, in its unit."""
    runs: Sequence[tuple[int, str]] = ()
    """Of a mean over runs: each seed with the id of its record; `record` is None then."""
    failures: Sequence[str] = ()
    """Of a cell that has not failed as a whole: which of its runs have, and why."""

    def __post_init__(self) -> None:
        assert self.status in STATUSES, self.status
        assert self.value is not None or self.status not in ("done", "partial", "projected"), self
        assert self.value is None or math.isfinite(self.value), self

    @property
    def difference(self) -> float | None:
        """Measured minus published; None unless there are both."""
        if self.value is None or self.published is None:
            return None
        return self.value - self.published

    @property
    def remark(self) -> str:
        """All there is to say of the cell in one line: coverage or progress, flags, note."""
        said = [self.coverage, self.percent, *self.flags, self.note]
        return "; ".join(text for text in said if text)

    @property
    def coverage(self) -> str:
        """`60 of 64 videos` for a partial value, else empty."""
        return f"{self.evaluated} of {self.listed} videos" if self.status == "partial" else ""

    @property
    def word(self) -> str:
        """The status as shown to a reader."""
        return "cancelled" if self.cancelled else self.status

    @property
    def percent(self) -> str:
        """`37 %` for a running cell whose progress is known, else empty; 100 % only when it is."""
        if self.status != "running" or self.progress is None:
            return ""
        return f"{math.floor(100 * min(max(self.progress, 0.0), 1.0))} %"

    @property
    def measured_text(self) -> str:
        """The value with as many decimals as its metric deserves, empty without one."""
        return "" if self.value is None else self._number(self.value)

    @property
    def records(self) -> list[str]:
        """The ids of the records behind the value."""
        return [id for _, id in self.runs] or ([self.record] if self.record else [])

    @property
    def spread_text(self) -> str:
        """What stands beside the value: `(-9.3, +0.4)` of a change, with `n.s.` behind it where that is not
        distinguishable from none; `± 0.3` of a mean over runs; else nothing."""
        if self.interval is not None:
            low, high = (_signed(end, decimals(self.metric)) for end in self.interval)
            return f"({low}, {high})" + " n.s." * self.chance
        if self.deviation is None:
            return ""
        text = self._number(self.deviation)
        return f"± {text}" if float(text) or not self.deviation else f"± {self.deviation:.1g}"

    def published_text(self, digits: int | None = None) -> str:
        """The printed value with `decimals` decimals, else with those of its metric; empty without a value."""
        if self.published is None:
            return ""
        return self._text(self.published, decimals(self.metric) if digits is None else digits)

    @property
    def difference_text(self) -> str:
        """The difference with its sign, empty without one."""
        return "" if self.difference is None else _signed(self.difference, decimals(self.metric))

    def _number(self, value: float) -> str:
        """With as many decimals as the cell's value is shown with."""
        digits = decimals(self.metric)
        if METRICS[self.metric].spread and self.value and abs(self.value) < 10:
            digits = max(digits, 2 - math.floor(math.log10(abs(self.value))))
        return self._text(value, min(digits, _MOST))

    def _text(self, value: float, digits: int) -> str:
        return _signed(value, digits) if self.signed else f"{value:.{digits}f}"


@dataclass(frozen=True)
class TableView:
    """One table to render. `entries` may lack cells that make no sense; they stay blank."""

    name: str
    title: str
    corner: str
    """Header of the row labels."""
    rows: list[str]
    columns: list[str]
    entries: dict[tuple[str, str], Entry]
    """By (row, column)."""
    notes: list[str] = field(default_factory=list)
    """Shown under the table: what was skipped, that the paper's model is another one than the demo's."""
    of_changes: list[str] = field(default_factory=list)
    """Those notes that also apply to the differences between its values."""
    jobs: dict[tuple[str, str], str] = field(default_factory=dict)
    """The id of the job that says most about a cell, by (row, column), where there is one."""
    derived: str = ""
    """The name of the table that this one is derived from; empty for a declared one."""

    def in_order(self) -> Iterable[Entry]:
        """Return the entries row by row."""
        keys = ((row, column) for row in self.rows for column in self.columns)
        return (self.entries[key] for key in keys if key in self.entries)


def decimals(metric: str) -> int:
    """Return how many decimals a metric is shown with."""
    return METRICS[metric].digits


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    return text.replace("-", "+") if float(text) == 0 else text


def to_json(views: Iterable[TableView]) -> list[dict[str, Any]]:
    """Return one dict a cell; `note` gathers all remarks, `record` is an id, both values are unrounded. A mean over
    runs also has their standard deviation, and the ids of their records by seed."""
    return [
        {
            "table": view.name,
            "row": entry.row,
            "column": entry.column,
            "metric": entry.metric,
            "value": entry.value,
            "published": entry.published,
            "status": entry.status,
            "record": entry.record,
            "note": entry.remark,
            "inferred": entry.inferred,
            **({"deviation": entry.deviation, "runs": dict(entry.runs)} if entry.runs else {}),
        }
        for view in views
        for entry in view.in_order()
    ]
