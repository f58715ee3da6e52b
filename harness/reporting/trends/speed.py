"""What fewer FLOPs are worth: how many times as fast a clip or a training step is, against how many times fewer FLOPs
its model has."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.reporting.alike import TIMED_ALIKE, TRAINED_ALIKE, unlike
from harness.reporting.table_places import Place, doubts, quartiles, stand_ins
from harness.reporting.training_notes import TIMES, speed_up
from jobs.cost import multiply_adds
from results.records import CellKey, Record, cell_key
from results.render.plot import Plot, Point, Series, marked_notes, without_bars
from results.seeds import Seed, run_key


def speed_ups(name: str, places: list[Place], best: Mapping[CellKey, Record]) -> Plot | None:
    """The speed-up against r = 0 of each timing and training of a table, r = 0 being what `best` has of the same model;
    None where there is none to draw."""
    timed = [place for place in places if place.wanted.metric == "clips_per_s"]
    trained = [place for place in places if place.wanted.metric in TIMES]
    left_out: dict[str, None] = {}

    def timing(place: Place) -> Point | None:
        base = best.get(cell_key(replace(place.cell, reduction="none")))
        if not base or not place.record or not _alike(place.label, place.record, base, TIMED_ALIKE, left_out):
            return None
        return _of_timing(place, base)

    def training(place: Place) -> Point | None:
        found = []
        for seed, record in place.runs.items():
            base = next(filter(_has_steps, (best.get(_unreduced(place, metric, seed)) for metric in TIMES)), None)
            if base and _has_steps(record) and _alike(place.label, record, base, TRAINED_ALIKE, left_out):
                found.append((record, base, *speed_up(record.samples, base.samples)))
        return _of_trainings(place, found)

    bases: dict[str, float] = {}
    for place in timed:
        if place.method == "none" and place.printed:
            bases.setdefault(place.wanted.model, place.printed)
    series = _lines("clips/s", timed, timing, lambda place: _printed(place, bases))
    series += _lines("training step", trained, training)
    series, notes = without_bars(series)
    points = [point for one in series for point in one.points]
    if all(point.published for point in points):
        return None
    notes += ["against r = 0 of the same model on the same kind of machine; the FLOPs are those of that model"]
    barred = {point.label for point in points if point.y_low is not None}
    if any(place.label in barred for place in timed):
        notes.append("bars: the middle half of a timing's samples, over the median of r = 0")
    if any(place.label in barred for place in trained):
        notes.append("bars of trainings with several seeds: from the lowest run to the highest, about the mean")
    if any(point.published for point in points):
        notes.append("hollow: from the clips/s that the paper prints, and the FLOPs of its model")
    notes += [*stand_ins([*timed, *trained]), *marked_notes(points), *left_out]
    labels = "FLOPs of r = 0 / FLOPs", "speed-up over r = 0"
    return Plot(name, "speed-up against FLOPs", *labels, tuple(series), tuple(notes), diagonal=True)


def _lines(what: str, places: Iterable[Place], *kinds: Callable[[Place], Point | None]) -> list[Series]:
    """A series for each kind of point, measured or printed, of each model and method."""
    groups: dict[tuple[str, str, str], list[Place]] = {}
    for place in places:
        if place.cell.reduction != "none":
            groups.setdefault((place.ran, place.asked, place.method), []).append(place)
    series = []
    for (ran, asked, method), members in groups.items():
        names = f"{what}, {ran}, {method}", f"paper: {what}, {asked}, {method}"
        for name, kind in zip(names, kinds, strict=False):
            points = {point for place in members if (point := kind(place))}
            ordered = tuple(sorted(points, key=lambda one: (one.x, one.y, one.label)))
            if points:
                series.append(Series(name, ordered, line=True, beside=names[0]))
    return series


def _alike(label: str, record: Record, base: Record, names: Iterable[str], left_out: dict[str, None]) -> bool:
    """Whether a time may be divided by that of `base`; says in `left_out` where it may not."""
    if why := unlike(record, base, names):
        left_out[f"left out: {label}, as {why}"] = None
    return not why


def _of_timing(place: Place, base: Record) -> Point | None:
    assert place.record
    fewer = _fewer(place.cell.model, place.cell.reduction)
    if fewer is None or base.value <= 0:
        return None
    low, high = (None if end is None else end / base.value for end in quartiles(place.record))
    speed = place.record.value / base.value
    about: dict[str, Any] = {"record": place.record.id, "tag": place.tag, "doubts": _doubts(place.record, base)}
    return Point(fewer, speed, place.label, y_low=low, y_high=high, **about)


def _of_trainings(place: Place, found: Sequence[tuple[Record, Record, float, float | None]]) -> Point | None:
    """The mean over the runs of a training; `found` are their records, those of r = 0, and both ratios."""
    speeds = [speed for *_, speed, _ in found]
    fewer = found[0][3] if found else None
    if fewer is None:
        return None
    low, high = (min(speeds), max(speeds)) if len(found) > 1 else (None, None)
    some = [f"{len(found)} of {len(place.seeds)} seeds"] if len(found) < len(place.seeds) else []
    said = [*some, *(doubt for record, base, *_ in found for doubt in _doubts(record, base))]
    doubtful = tuple(dict.fromkeys(said))
    about: dict[str, Any] = {"record": found[0][0].id if len(found) == 1 else "", "tag": place.tag, "doubts": doubtful}
    return Point(fewer, statistics.fmean(speeds), place.label, y_low=low, y_high=high, **about)


def _doubts(record: Record, base: Record) -> tuple[str, ...]:
    """About a ratio: those about its two values."""
    return doubts(record) + doubts(base, "r = 0")


def _printed(place: Place, bases: Mapping[str, float]) -> Point | None:
    """The speed-up by the paper's own clips/s; `bases` are those of r = 0, by model."""
    base = bases.get(place.wanted.model)
    fewer = _fewer(place.wanted.model, place.wanted.reduction)
    if not base or place.printed is None or fewer is None:
        return None
    about: dict[str, Any] = {"tag": place.tag, "inferred": place.inferred}
    return Point(fewer, place.printed / base, place.paper, published=True, **about)


def _fewer(model: str, reduction: str) -> float | None:
    """How many times fewer FLOPs a model has; None where that shows only when it runs."""
    whole, reduced = multiply_adds(model, "none"), multiply_adds(model, reduction)
    return whole / reduced if whole and reduced else None


def _unreduced(place: Place, metric: str, seed: Seed) -> CellKey:
    return run_key(replace(place.cell, reduction="none", metric=metric), seed)


def _has_steps(record: Record | None) -> bool:
    return bool(record and record.samples.get("step_s"))
