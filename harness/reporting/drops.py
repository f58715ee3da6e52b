"""What a reduction costs in accuracy: each change from r = 0, measured beside published, as a table of its own."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from harness.profiles import Profile
from harness.reporting.table_places import places_of
from harness.tables import DROPS, Table
from jobs.spec.cells import Cell
from results.metrics import METRICS
from results.render.table_view import Entry, TableView

ORDER = ("failed", "running", "pending", "partial", "projected", "done")
"""Of two statuses the first is that of the change between them; of the first three there is no value."""
DIGITS = 9
"""Decimals of a difference; those after them are noise of binary numbers."""


def drops(table: Table, view: TableView, profile: Profile) -> TableView | None:
    """The changes from r = 0 of the accuracies in `view`, which is `table` as it stands; None where it has no accuracy
    of a reduction with that of r = 0 beside it.

    An accuracy that a stand-in measures without any reduction, its r being too small, has none, and a note says so.
    """
    cells = [(entry.row, entry.column) for entry in table.entries]
    places = dict(zip(cells, places_of(table, profile, {}), strict=True))
    starts: dict[Cell, tuple[str, str]] = {}
    for key, place in places.items():
        starts.setdefault(place.wanted, key)
    entries, notes = {}, list(view.of_changes)
    for key, place in places.items():
        start = starts.get(replace(place.wanted, reduction="none"))
        if METRICS[place.wanted.metric].kind != "accuracy" or place.wanted.reduction == "none" or not start:
            continue
        if place.cell.reduction == "none":
            notes.append(f"{', '.join(key)} has no change: {place.rounded}")
        else:
            entries[key] = change(view.entries[key], view.entries[start])
    if not entries:
        return None
    rows, columns = {row for row, _ in entries}, {column for _, column in entries}
    return TableView(
        name=f"{view.name}{DROPS}",
        derived=view.name,
        title=f"{view.title}: change from r = 0, in points",
        corner=view.corner,
        rows=[row for row in view.rows if row in rows],
        columns=[column for column in view.columns if column in columns],
        entries=entries,
        notes=notes,
    )


def change(entry: Entry, start: Entry) -> Entry:
    """The change from `start` to `entry`, with the doubts about both."""
    published = None
    if entry.published is not None and start.published is not None:
        published = round(entry.published - start.published, DIGITS)
    notes = [entry.note, f"r = 0: {start.note}" if start.note and start.note != entry.note else ""]
    flags = [*entry.flags, *(f"r = 0: {flag}" for flag in start.flags)]
    inferred = [entry.inferred, f"r = 0: {start.inferred}" if start.inferred not in ("", entry.inferred) else ""]
    basis = replace(entry, published=published, flags=flags, inferred=_joined(inferred), signed=True)
    if entry.value is None or start.value is None:
        says = min((entry, start), key=lambda one: (one.value is not None, ORDER.index(one.status)))
        unknown: dict[str, Any] = {"status": says.status, "progress": says.progress, "cancelled": says.cancelled}
        return replace(basis, value=None, record=None, note=_joined(notes), **unknown)
    says = min((entry, start), key=lambda one: (ORDER.index(one.status), one.evaluated))
    if entry.evaluated != start.evaluated:
        notes.append(f"over {entry.evaluated} videos, r = 0 over {start.evaluated}")
    known: dict[str, Any] = {"status": says.status, "evaluated": says.evaluated, "listed": says.listed}
    return replace(basis, value=round(entry.value - start.value, DIGITS), note=_joined(notes), **known)


def _joined(notes: Iterable[str]) -> str:
    return "; ".join(filter(None, notes))
