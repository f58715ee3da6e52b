"""From records and printed numbers to plots: accuracy against what it costs, and what fewer FLOPs are worth in time."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import product
from math import sqrt
from pathlib import Path
from typing import Any

from harness.profiles import Profile
from harness.reporting.significance import change_between
from harness.reporting.table_places import Place, doubts, places_of, quartiles, stand_ins
from harness.reporting.trends.course import curves
from harness.reporting.trends.speed import speed_ups
from harness.tables import Table
from results.metrics import METRICS, of_kind
from results.records import CellKey, Record
from results.render.plot import Plot, Point, Series, marked_notes, without_bars
from results.seeds import interval_of_mean, values_of

Z = 1.959964
"""Standard deviations on either side of the mean that hold 95 % of a normal distribution."""


def plots(tables: Iterable[Table], profile: Profile, best: Mapping[CellKey, Record], runs: Path) -> list[Plot]:
    """All that the values of the tables can be drawn as; `best` is `best_by_cell`'s. Where nothing was measured there
    is no plot. ValueError where a cell is not valid."""
    found: list[Plot] = []
    for table in tables:
        places = places_of(table, profile, best)
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", table.name)
        name = name if name[:1].isalpha() else f"table-{name}"
        costs = [cost for cost in of_kind("cost", "timing") if METRICS[cost].axis]
        pairs = product(of_kind("accuracy"), costs)
        drawn = [_accuracy(f"{name}-{metric}-{cost}", places, metric, cost) for metric, cost in pairs]
        drawn += [speed_ups(f"{name}-speed-up", places, best), *curves(name, places, runs)]
        found += [replace(plot, title=f"{table.name}: {plot.title}") for plot in drawn if plot]
    counts: Counter[str] = Counter()
    for number, plot in enumerate(found):
        counts[plot.name] += 1
        if counts[plot.name] > 1:
            found[number] = replace(plot, name=f"{plot.name}-{counts[plot.name]}")
    return found


def wilson(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share, in percent, of which `correct` of `total` were seen (Wilson, 1927)."""
    share, weight = correct / total, Z**2 / total
    middle, half = share + weight / 2, Z * sqrt(share * (1 - share) / total + weight / (4 * total))
    low, high = (100 * (middle + side) / (1 + weight) for side in (-half, half))
    return max(low, 0.0), min(high, 100.0)


def _accuracy(name: str, places: list[Place], metric: str, cost: str) -> Plot | None:
    """Accuracy against the cost of the same model and reduction, a line for each model, method, dataset and views."""
    records: dict[tuple[str, str], Record] = {}
    printed: dict[tuple[str, str], float] = {}
    others = [place for place in places if place.wanted.metric == cost and _counted_of_another(place)]
    for place in places:
        if place.wanted.metric == cost and place.record and place not in others:
            records.setdefault(_what(place), place.record)
        if place.wanted.metric == cost and place.printed is not None:
            printed.setdefault(_what(place), place.printed)

    def measured_point(place: Place) -> Point | None:
        paid = records.get(_what(place))
        if not place.record or not paid:
            return None
        x_low, x_high = quartiles(paid)
        y_low, y_high = changes.get(place.record.id) or accuracy_interval(place.record)
        bars = {"x_low": x_low, "x_high": x_high, "y_low": y_low, "y_high": y_high}
        doubtful = doubts(place.record) + doubts(paid, METRICS[cost].axis)
        one = "" if values_of(place.record) else place.record.id  # a mean has no file
        about: dict[str, Any] = {"record": one, "tag": place.tag, "doubts": doubtful} | bars
        return Point(paid.value, place.record.value, place.label, **about)

    def printed_point(place: Place) -> Point | None:
        paid = printed.get(_what(place))
        if place.printed is None or paid is None:
            return None
        about: dict[str, Any] = {"tag": place.tag, "inferred": place.inferred}
        return Point(paid, place.printed, place.paper, published=True, **about)

    accuracies = [place for place in places if place.wanted.metric == metric]
    changes = _changes(accuracies)
    series, notes = without_bars(_lines(accuracies, measured_point, printed_point))
    points = [point for one in series for point in one.points]
    if all(point.published for point in points):
        return None
    if any(point.y_low is not None for point in points):
        means = any(place.record and values_of(place.record) for place in accuracies)
        alone = "95 % interval of an accuracy, by the number of videos (Wilson)"
        of_changes = "95 % interval of the change from r = 0, over the same videos (Tango)"
        if means:
            alone = "95 % interval of the mean over trainings (Student)"
            of_changes = "95 % interval of the change from r = 0, over trainings (Welch)"
        notes.append(f"vertical bars: {f'{of_changes}; of r = 0, {alone}' if changes else alone}")
    if any(point.x_low is not None for point in points):
        notes.append("horizontal bars: the middle half of a timing's samples")
    if any(point.published for point in points):
        own = "model and data" if cost == "gflops" else "model, data and machine"
        notes.append(f"hollow: the paper's numbers, of its own {own}")
    if other := stand_ins(accuracies):
        notes.append(f"{'; '.join(other)}: compare the shapes of the lines, not their levels")
        if cost == "gflops":
            notes.append("GFLOPs are those of the paper's models, not of what stands in for them")
        if others and (named := dict.fromkeys(place.wanted.reduction for place in others)):
            notes.append(f"left out: {', '.join(named)}, which was counted of what stands in")
    notes += marked_notes(points)
    title = f"{METRICS[metric].axis.removesuffix(' (%)')} against {METRICS[cost].axis}"
    return Plot(name, title, METRICS[cost].axis, METRICS[metric].axis, tuple(series), tuple(notes))


def _counted_of_another(place: Place) -> bool:
    """Whether a cost was counted of the model that stands in, while those beside it are of the paper's model."""
    return METRICS[place.cell.metric].kind == "cost" and place.cell.model != place.wanted.model


def _lines(places: Iterable[Place], *kinds: Callable[[Place], Point | None]) -> list[Series]:
    """Measured and printed points as series, r = 0 at the start of each method's."""
    groups: dict[tuple[str, ...], dict[str, list[Place]]] = {}
    for place in places:
        group = groups.setdefault((place.wanted.model, place.wanted.dataset, place.wanted.views), {})
        group.setdefault(place.method, []).append(place)
    series = []
    for methods in groups.values():
        one = next(iter(methods.values()))[0]
        measured, printed = (_by_method(methods, kind) for kind in kinds)
        for method in dict.fromkeys([*measured, *printed]):
            ran, asked = (f"{what}, {method}, {one.wanted.views}" for what in (one.ran, f"paper: {one.asked}"))
            if method in measured:
                series.append(Series(ran, measured[method], line=True))
            if method in printed:
                series.append(Series(asked, printed[method], line=True, beside=ran))
    return series


def _by_method(
    methods: Mapping[str, list[Place]], kind: Callable[[Place], Point | None]
) -> dict[str, tuple[Point, ...]]:
    """Each method's points in the order of x, those of r = 0 among them; those alone where there are no others."""
    found = {method: {point for place in places if (point := kind(place))} for method, places in methods.items()}
    start = found.pop("none", set())
    sets = {method: start | own for method, own in found.items() if own} or ({"none": start} if start else {})
    return {method: tuple(sorted(own, key=lambda one: (one.x, one.y, one.label))) for method, own in sets.items()}


def _what(place: Place) -> tuple[str, str]:
    return place.wanted.model, place.wanted.reduction


def _changes(accuracies: Iterable[Place]) -> dict[str, tuple[float, float]]:
    """By the id of a record, the interval of its change from r = 0 about that, in percent."""
    places = [(place.wanted, place.record) for place in accuracies if place.record]
    starts = {wanted: record for wanted, record in places if wanted.reduction == "none"}
    pairs = [(starts.get(replace(wanted, reduction="none")), record) for wanted, record in places]
    found = {record.id: _of_change(start, record) for start, record in pairs if start and start is not record}
    return {id: ends for id, ends in found.items() if ends}


def _of_change(start: Record, record: Record) -> tuple[float, float] | None:
    """The interval of a change about where it begins; None where there is no telling."""
    try:
        low, high = change_between(start, record).interval
    except ValueError:
        return None
    low, high = max(start.value + low, 0.0), min(start.value + high, 100.0)
    return (low, high) if low <= record.value <= high else None


def accuracy_interval(record: Record) -> tuple[float, float] | tuple[None, None]:
    """The 95 % interval of an accuracy, by the number of its videos, or of a mean, by its runs; None where neither is
    known."""
    if values := values_of(record):
        try:
            ends = interval_of_mean(values)
        except ValueError:
            return None, None
        return max(ends[0], 0.0), min(ends[1], 100.0)
    correct, total = record.samples.get("correct"), record.counts.get("evaluated", 0)
    if not isinstance(correct, int) or not 0 <= correct <= total or not total:
        return None, None
    low, high = wilson(correct, total)
    return (low, high) if low <= record.value <= high else (None, None)
