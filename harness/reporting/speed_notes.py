"""How many times as fast reductions are, with the intervals of these ratios, under the tables of their timings."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.reporting.alike import TIMED_ALIKE, unlike
from harness.reporting.table_places import samples_of
from results.metrics import METRICS
from results.ratios import ratio_interval
from results.records import Record

FASTER = ("clips/s",)
"""Units of timings in which more is faster; in times less is."""
SLOWER = ("ms",)
LEAST = 5
"""Samples of a timing from which medians are drawn anew."""


@dataclass
class _Group:
    """Timings of one metric, model, dataset and views."""

    base: Record | None = None
    others: list[tuple[str, Record]] = field(default_factory=list)


def speed_notes(shown: Iterable[tuple[str, Record]]) -> list[str]:
    """A line for each metric and model of a table's timings: how many times as fast as without a reduction each is.
    `shown` are what the places are called and their records, in order."""
    groups: dict[tuple[str, ...], _Group] = {}
    for place, record in shown:
        cell = record.cell
        if METRICS[cell["metric"]].unit in FASTER + SLOWER and _can_be_divided(record):
            key = tuple(cell[name] for name in ("metric", "model", "dataset", "views"))
            group = groups.setdefault(key, _Group())
            if cell["reduction"] == "none":
                group.base = group.base or record
            else:
                group.others.append((place, record))
    return [line for (metric, model, *_), group in groups.items() for line in _told(metric, model, group)]


def _told(metric: str, model: str, group: _Group) -> list[str]:
    said = []
    for place, record in group.others if group.base else ():
        assert group.base
        if not unlike(record, group.base, TIMED_ALIKE):
            fast, slow = (record, group.base) if METRICS[metric].unit in FASTER else (group.base, record)
            low, high = ratio_interval(samples_of(fast), samples_of(slow))
            said.append(f"{place} {fast.value / slow.value:.2f} ({low:.2f} to {high:.2f})")
    how = "times as fast as r = 0, with 95 % bootstrap intervals of the ratio of medians (of these samples: another run"
    how += " may differ by more)"
    return [f"{metric} of {model}, {how}: {'; '.join(said)}"] if said else []


def _can_be_divided(record: Record) -> bool:
    samples = samples_of(record)
    return len(samples) >= LEAST and min(samples) > 0
