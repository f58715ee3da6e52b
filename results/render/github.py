"""GitHub's Markdown, laid out to be read in a terminal as well."""

import re
from collections.abc import Sequence

import tabulate

from results.render.grid import Grid, lay_out, printable
from results.render.table_view import TableView

WIDTH = 120
"""Columns of a terminal; a table that would be wider moves words into footnotes."""

_INLINE = re.compile(
    r"""(?P<link> :(?=//) | (?i:(?<!\w)www(?=\.)) | @(?=\w) | \#(?=\d) | :(?=[a-z+-][\w+-]*:) )
    | [\\|<*`\[#$]
    | (?<!^)~                       # at the beginning it is our mark, and one alone strikes nothing
    | (?<![^\W_])_ | _(?![^\W_])    # within a word it means itself
    | &(?=[#A-Za-z])""",
    re.VERBOSE,
)
_BLOCK = re.compile(r"^(\d{1,9}(?=[.)](?:\s|$))|)(>|[-+](?=[\s-]|$)|(?<=\d)[.)])")
_NOTHING = "<!-- -->"
"""Addresses, names, numbers of issues and :emoji: are searched for by GitHub in the finished page, where no escape is
left to see; a comment, which is not shown, cuts them in two."""


def render(views: Sequence[TableView]) -> str:
    """Return the tables under their titles, each with its notes as a list."""
    return "\n".join(_table(view) for view in views)


def _table(view: TableView) -> str:
    grid = lay_out(view, wide=True)
    table = _grid(view, grid, wide=True)
    if table.index("\n") > WIDTH:
        grid = lay_out(view, wide=False)
        table = _grid(view, grid, wide=False)
    notes = "".join(f"- {_escape(note)}\n" for note in grid.footnotes)
    return f"### {_escape(printable(view.title))}\n\n{table}\n" + (f"\n{notes}" if notes else "")


def _grid(view: TableView, grid: Grid, wide: bool) -> str:
    headers = [view.corner]
    for column, parts in grid.groups:
        headers += [f"{column} measured" if wide and len(parts) > 1 else column, *parts[1:]]
    padding = tabulate.MIN_PADDING
    # tabulate widens every header by this much, which costs a table of 13 columns 26 characters.
    tabulate.MIN_PADDING = 0
    try:
        return tabulate.tabulate(
            [[_escape(text) for text in line] for line in grid.lines],
            headers=[_escape(printable(text)) for text in headers],
            tablefmt="github",
            disable_numparse=True,
            colalign=["left"] + ["right"] * (len(headers) - 1),
        )
    finally:
        tabulate.MIN_PADDING = padding


def _escape(text: str) -> str:
    """Return text that GitHub shows as it is: no markup, no links, no mentions, wherever in a line it begins."""
    return _BLOCK.sub(r"\1\\\2", _INLINE.sub(_shown, text))


def _shown(found: re.Match[str]) -> str:
    return f"{found[0]}{_NOTHING}" if found["link"] else f"\\{found[0]}"
