"""Tables for a terminal of any width: aligned and coloured, and cut into blocks of columns where they are too wide."""

import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from results.render.grid import Grid, lay_out, printable
from results.render.table_view import Entry, TableView

GAP, BETWEEN = 2, 3
"""Blanks between two sub-columns, and between two columns."""
LEAST = 8
"""Cells that row labels have at least; longer ones are wrapped."""
NAME = 14
"""Cells of a column's name that make its column wider; longer ones are wrapped."""
STYLES = {
    "done": "green",
    "partial": "yellow",
    "projected": "yellow",
    "running": "yellow",
    "failed": "red",
    "pending": "dim",
    "printed": "dim",
    "paper": "dim",
    "diff": "",
    "": "",
}
"""Of a value by its status, and of what stands beside it. They say nothing that words and marks do not say as well."""

Wrap = Callable[[str, int], list[Text]]
"""Breaks text into lines of at most `width` cells, at blanks where possible."""


@dataclass(frozen=True)
class Column:
    """A column of the table with its sub-columns: measured, paper and diff, or measured alone."""

    name: str
    parts: Sequence[str]
    cells: Sequence[Sequence[Text]]
    """By row, then by sub-column."""

    @cached_property
    def widths(self) -> list[int]:
        """Of the sub-columns, in terminal cells."""
        heads = [len(part) for part in self.parts] if len(self.parts) > 1 else [min(cell_len(self.name), NAME)]
        return [max(head, *(text.cell_len for text in texts)) for head, *texts in zip(heads, *self.cells, strict=True)]

    @cached_property
    def width(self) -> int:
        return sum(self.widths) + GAP * (len(self.parts) - 1)


def show(views: Sequence[TableView], stream: TextIO) -> None:
    """Write the tables to a terminal: as wide as it is, with colours unless NO_COLOR is set or it has none."""
    colour = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    stream.write(render(views, shutil.get_terminal_size().columns, colour))


def render(views: Sequence[TableView], width: int, colour: bool) -> str:
    """The tables as text that ends in a newline, its lines at most `width` terminal cells, with ANSI colours where
    `colour`.

    A value is never cut: where a single column is wider than `width`, so are its lines.
    """
    file = io.StringIO()
    system: Literal["standard"] | None = "standard" if colour else None
    console = Console(file=file, width=width, force_terminal=colour, color_system=system, no_color=not colour)
    for number, view in enumerate(views):
        for line in ([Text()] if number else []) + list(_table(view, width, console)):
            line.rstrip()
            console.print(line, soft_wrap=True)
    return file.getvalue()


def _table(view: TableView, width: int, console: Console) -> Iterator[Text]:
    def wrap(text: str, width: int) -> list[Text]:
        return list(Text(printable(text)).wrap(console, width, overflow="fold")) or [Text()]

    for line in wrap(view.title, width):
        line.stylize("bold")
        yield line
    for whole in (True, False):
        grid = lay_out(view, wide=whole)
        columns = _columns(view, grid)
        labels = [printable(view.corner), *(line[0] for line in grid.lines)]
        label = max(map(cell_len, labels))
        if label + sum(BETWEEN + column.width for column in columns) <= width:
            break
    else:
        room = width - BETWEEN - max((column.width for column in columns), default=0)
        label = min(label, max(LEAST, min(room, width // 2)))
    for block in _blocks(columns, width - label):
        yield Text()
        yield from _block([wrap(text, label) for text in labels], label, block, wrap)
    if grid.footnotes:
        yield Text()
    for note in grid.footnotes:
        first, *rest = wrap(note, width - 2)
        yield Text("- ") + first
        yield from (Text("  ") + line for line in rest)


def _columns(view: TableView, grid: Grid) -> list[Column]:
    columns, first = [], 1
    for name, (column, parts) in zip(view.columns, grid.groups, strict=True):
        cells = []
        for row, line in zip(view.rows, grid.lines, strict=True):
            entry = view.entries.get((row, name))
            styles = [_style(entry), "paper", "diff"][: len(parts)]
            texts = zip(line[first : first + len(parts)], styles, strict=True)
            cells.append([Text(text, STYLES[style]) for text, style in texts])
        columns.append(Column(printable(column), parts, cells))
        first += len(parts)
    return columns


def _style(entry: Entry | None) -> str:
    if not entry:
        return ""
    return "partial" if entry.status == "done" and entry.flags else entry.status


def _blocks(columns: Sequence[Column], room: int) -> list[list[Column]]:
    """The columns in order, as many beside each other as fit."""
    blocks: list[list[Column]] = []
    left = 0
    for column in columns:
        if not blocks or BETWEEN + column.width > left:
            blocks.append([])
            left = room
        blocks[-1].append(column)
        left -= BETWEEN + column.width
    return blocks


def _block(labels: Sequence[Sequence[Text]], width: int, columns: Sequence[Column], wrap: Wrap) -> Iterator[Text]:
    """Header, rule and rows of some columns beside the row labels, the first of which is the corner."""
    corner, *rows = labels
    heads = [_head(column, wrap) for column in columns]
    height = max(len(corner), *map(len, heads))
    for texts in zip(*([Text()] * (height - len(head)) + list(head) for head in (corner, *heads)), strict=True):
        yield _line(texts, width, columns, "bold")
    yield Text("─" * (width + sum(BETWEEN + column.width for column in columns)), "dim")
    for number, (first, *rest) in enumerate(rows):
        yield _line([first, *(_beside(column.cells[number], column.widths) for column in columns)], width, columns)
        yield from rest


def _head(column: Column, wrap: Wrap) -> list[Text]:
    """A column's name, over the names of its sub-columns where it has several."""
    lines = wrap(column.name, column.width)
    if len(column.parts) > 1:
        for line in lines:
            line.align("center", column.width)
        lines.append(_beside([Text(part) for part in column.parts], column.widths))
    return lines


def _line(texts: Sequence[Text], width: int, columns: Sequence[Column], style: str = "") -> Text:
    label, *rest = texts
    line = label.copy()
    line.align("left", width)
    for text, column in zip(rest, columns, strict=True):
        line = line + Text(" " * BETWEEN) + _right(text, column.width)
    line.stylize(style)
    return line


def _beside(texts: Sequence[Text], widths: Sequence[int]) -> Text:
    padded = [_right(text, width) for text, width in zip(texts, widths, strict=True)]
    return Text(" " * GAP).join(padded)


def _right(text: Text, width: int) -> Text:
    return Text(" " * (width - text.cell_len)) + text
