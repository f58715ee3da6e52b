"""Tables as the template writes them: header cells, rows, and what each cell opens."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from results.render.grid import lay_out, printable
from results.render.table_view import Entry, TableView


@dataclass(frozen=True)
class Part:
    """One td: a measured value, a printed one, or the difference."""

    text: str
    kind: str = "measured"
    """measured, paper or diff; empty where there is no cell."""
    value: str = ""
    """The unrounded number to sort by."""
    status: str = ""
    cell: str = ""
    """The key of the cell that it opens; empty where there is nothing to open."""
    record: str = ""


@dataclass(frozen=True)
class Heading:
    """A column of the table, over one td or three."""

    text: str
    parts: Sequence[str]
    first: int
    """The place of its first td in a row, the row's label being 0."""


@dataclass(frozen=True)
class Table:
    """One table of the page."""

    id: str
    """Of its heading, to lead to; its name can hold anything."""
    name: str
    title: str
    corner: str
    derived: bool
    headings: Sequence[Heading]
    rows: Sequence[tuple[str, Sequence[Part]]]
    notes: Sequence[str]
    counts: Mapping[str, int]
    """Cells by the word of their status, in the order of WORDS."""

    @property
    def grouped(self) -> bool:
        """Whether some column has measured, paper and diff below it."""
        return any(len(heading.parts) > 1 for heading in self.headings)

    @property
    def ems(self) -> float:
        """How wide it may be in its font's size, by which it is set to fit on paper."""
        labels = [self.corner, *(label[:LONG] for label, _ in self.rows)]
        total = _ems(labels)
        for heading in self.headings:
            names = heading.parts if len(heading.parts) > 1 else [heading.text]
            below = [
                _ems([name, *(parts[place].text for _, parts in self.rows)])
                for place, name in enumerate(names, heading.first - 1)
            ]
            total += max(sum(below), _ems([heading.text]))
        return round(total, 1)


LONG = 24
"""Characters of a row's label beyond which it is wrapped."""
CHARACTER, PADDING = 0.65, 1.3
"""Ems of a figure or letter, which in some fonts is less, and of a cell around its text."""
WORDS = ("done", "partial", "projected", "running", "failed", "cancelled", "pending")
VALUES = WORDS[:3]
"""The words of cells that have a value."""


def cell_ids(view: TableView) -> Iterator[tuple[str, Entry]]:
    """Each cell with its key on the page; rows and columns by their places, as their labels can hold anything."""
    for number, row in enumerate(view.rows):
        for place, column in enumerate(view.columns):
            if entry := view.entries.get((row, column)):
                yield f"{view.name}/{number}/{place}", entry


def lay_out_tables(views: Iterable[TableView]) -> list[Table]:
    """The tables as the page shows them."""
    return [_table(view, f"table-{number}") for number, view in enumerate(views, 1)]


def _table(view: TableView, id: str) -> Table:
    grid = lay_out(view, wide=True)
    headings, first = [], 1
    for text, names in grid.groups:
        headings.append(Heading(printable(text), names, first))
        first += len(names)
    derived = bool(view.derived)
    keys = {(entry.row, entry.column): key for key, entry in cell_ids(view)}
    rows = []
    for row, (label, *texts) in zip(view.rows, grid.lines, strict=True):
        parts: list[Part] = []
        for column, (_, names) in zip(view.columns, grid.groups, strict=True):
            shown = texts[len(parts) : len(parts) + len(names)]
            parts += _parts(view.entries.get((row, column)), keys.get((row, column), ""), names, shown, derived)
        rows.append((label, parts))
    words = [entry.word for entry in view.in_order()]
    counts = {word: words.count(word) for word in WORDS if word in words}
    title, corner = printable(view.title), printable(view.corner)
    return Table(id, view.name, title, corner, derived, headings, rows, grid.footnotes, counts)


def _ems(texts: Sequence[str]) -> float:
    return CHARACTER * max(map(len, texts)) + PADDING


def _parts(entry: Entry | None, key: str, names: Sequence[str], texts: Sequence[str], derived: bool) -> list[Part]:
    if entry is None:
        return [Part("", "") for _ in names]
    numbers = {"measured": entry.value, "paper": entry.published, "diff": entry.difference}
    found = []
    for name, text in zip(names, texts, strict=True):
        number = numbers[name]
        opens = name == "measured" and entry.status != "printed" and bool(entry.records or not derived)
        found.append(
            Part(
                text=text,
                kind=name,
                value="" if number is None else repr(number),
                status=entry.word if name == "measured" else "",
                cell=key if opens else "",
                record=(entry.record or "") if opens else "",
            )
        )
    return found
