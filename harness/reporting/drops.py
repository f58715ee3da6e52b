"""What a reduction costs in accuracy: each change from r = 0, measured beside published, as a table of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from harness.profiles import Profile
from harness.reporting.significance import judge
from harness.reporting.table_places import Place, places_of
from harness.tables import DROPS, Table
from jobs.spec.cells import Cell
from results.metrics import METRICS
from results.records import CellKey, Record
from results.render.table_view import Entry, TableView

ORDER = ("failed", "running", "pending", "partial", "projected", "done")
"""Of two statuses the first is that of the change between them; of the first three there is no value."""
ZERO = "r = 0"
DIGITS = 9
"""Decimals of a difference; those after them are noise of binary numbers."""


def drops(
    table: Table, view: TableView, profile: Profile, best: Mapping[CellKey, Record], drop: float = 0
) -> TableView | None:
    """The changes of the accuracies in `view`, which is `table` as it stands, from those of its baseline, or else of
    r = 0, with their intervals; None where it has none of a reduction with that beside it. With a `drop`, in points,
    notes say how many videos would tell it.

    An accuracy that a stand-in measures without any reduction, its r being too small, has none, and a note says so.
    """
    cells = [(entry.row, entry.column) for entry in table.entries]
    places = dict(zip(cells, places_of(table, profile, best), strict=True))
    starts = starts_of(table, places)
    entries, notes = {}, list(view.of_changes)
    pairs: dict[tuple[str, str], tuple[Record | None, Record | None]] = {}
    for key, place in places.items():
        if METRICS[place.wanted.metric].kind != "accuracy" or key not in starts:
            continue
        start = starts[key]
        if place.cell == places[start].cell:
            notes.append(f"{', '.join(key)} has no change: {place.rounded}")
        else:
            entries[key] = change(view.entries[key], view.entries[start], table.baseline or ZERO)
            pairs[key] = places[start].record, place.record
    if not entries:
        return None
    judged, said = judge(entries, pairs, drop)
    entries |= judged
    notes += said
    rows, columns = {row for row, _ in entries}, {column for _, column in entries}
    return TableView(
        name=f"{view.name}{DROPS}",
        derived=view.name,
        title=f"{view.title}: change from {table.baseline or ZERO}, in points",
        corner=view.corner,
        rows=[row for row in view.rows if row in rows],
        columns=[column for column in view.columns if column in columns],
        entries=entries,
        notes=notes,
    )


def starts_of(table: Table, places: Mapping[tuple[str, str], Place]) -> dict[tuple[str, str], tuple[str, str]]:
    """By place of a table, that which its change is from: in its column the baseline's row, or else where the same is
    without a reduction."""
    if table.baseline:
        changed = [(row, column) for row, column in places if row != table.baseline]
        return {(row, column): start for row, column in changed if (start := (table.baseline, column)) in places}
    first: dict[Cell, tuple[str, str]] = {}
    for key, place in places.items():
        first.setdefault(place.wanted, key)
    found = {key: first.get(replace(place.wanted, reduction="none")) for key, place in places.items()}
    return {key: start for key, start in found.items() if start and places[key].wanted.reduction != "none"}


def change(entry: Entry, start: Entry, name: str = ZERO) -> Entry:
    """The change from `start`, which is called `name`, to `entry`, with the doubts about both."""
    published = None
    if entry.published is not None and start.published is not None:
        published = round(entry.published - start.published, DIGITS)
    notes = [entry.note, f"{name}: {start.note}" if start.note and start.note != entry.note else ""]
    flags = [*entry.flags, *(f"{name}: {flag}" for flag in start.flags)]
    inferred = [entry.inferred, f"{name}: {start.inferred}" if start.inferred not in ("", entry.inferred) else ""]
    basis = replace(entry, published=published, flags=flags, inferred=_joined(inferred), signed=True)
    basis = replace(basis, deviation=None, failures=())
    if entry.value is None or start.value is None:
        says = min((entry, start), key=lambda one: (one.value is not None, ORDER.index(one.status)))
        unknown: dict[str, Any] = {"status": says.status, "progress": says.progress, "cancelled": says.cancelled}
        return replace(basis, value=None, record=None, runs=(), note=_joined(notes), **unknown)
    says = min((entry, start), key=lambda one: (ORDER.index(one.status), one.evaluated))
    if entry.evaluated != start.evaluated:
        notes.append(f"over {entry.evaluated} videos, {name} over {start.evaluated}")
    known: dict[str, Any] = {"status": says.status, "evaluated": says.evaluated, "listed": says.listed}
    return replace(basis, value=round(entry.value - start.value, DIGITS), note=_joined(notes), **known)


def _joined(notes: Iterable[str]) -> str:
    return "; ".join(filter(None, notes))
