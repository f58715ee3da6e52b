"""From a table's view to lines of text cells with marks and footnotes, for the renderers that show a grid."""

from collections.abc import Sequence
from dataclasses import dataclass

from results.render.table_view import Entry, TableView

SUPERSCRIPTS = dict(zip("ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", "abcdefghijklmnoprstuvwxyz", strict=True))
"""They mark a value without making its column much wider."""


@dataclass(frozen=True)
class Grid:
    """A table laid out: by column its measured values, then paper and diff where there are printed ones."""

    groups: list[tuple[str, list[str]]]
    """Each column with the names of its sub-columns: measured, paper, diff, or measured alone."""
    lines: list[list[str]]
    """A row label and one text per sub-column."""
    footnotes: list[str]


def lay_out(view: TableView, wide: bool) -> Grid:
    """Lay a table out. `wide` spells out partial and running cells, which otherwise lean on footnotes."""
    entries = list(view.in_order())
    compared = {entry.column for entry in entries if entry.published is not None}
    parts = ["measured", "paper", "diff"]
    groups = [(name, parts if name in compared else parts[:1]) for name in view.columns]
    coverages = dict.fromkeys(entry.coverage for entry in entries if entry.coverage and not wide)
    letters = dict(zip(coverages, SUPERSCRIPTS, strict=False))
    digits = {entry.metric: 0 for entry in entries}
    for entry in entries:
        digits[entry.metric] = max(digits[entry.metric], _digits(entry.published))
    inferred = {entry.row for entry in entries if entry.inferred}
    lines = []
    for row in view.rows:
        line = [f"{row} †" if row in inferred else row]
        for column, shown in groups:
            texts = ["", "", ""]
            if cell := view.entries.get((row, column)):
                printed = cell.published_text(digits[cell.metric])
                texts = [_measured(cell, wide, letters), printed, cell.difference_text]
            line += texts[: len(shown)]
        lines.append([printable(text) for text in line])
    return Grid(groups, lines, [printable(text) for text in [*view.notes, *_footnotes(entries, letters)]])


def printable(text: str) -> str:
    """Return text on one line with control characters spelled out: file names can hold anything."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in " ".join(text.split()))


def _measured(entry: Entry, wide: bool, letters: dict[str, str]) -> str:
    if entry.status == "running":
        return f"{'running' if wide or not entry.percent else 'run'} {entry.percent}".strip()
    if entry.value is None:
        return "–" if entry.status == "printed" else entry.word
    text = f"~{entry.measured_text}" if entry.status == "projected" else entry.measured_text
    text = f"{text} {entry.spread_text}".rstrip()
    if entry.status == "partial":
        text += letters.get(entry.coverage, f" ({entry.evaluated}/{entry.listed})")
    return f"{text} !" if entry.flags else text


def _footnotes(entries: Sequence[Entry], letters: dict[str, str]) -> list[str]:
    notes = [f"{letter} partial: {coverage}" for coverage, letter in letters.items()]
    said: dict[str, dict[str, None]] = {}
    for entry in entries:
        if entry.inferred:
            said.setdefault(entry.inferred, {})[entry.row] = None
    notes += [f"† {'; '.join(rows)}: inferred, {text}" for text, rows in said.items()]
    if any(entry.status == "projected" for entry in entries):
        notes.append("~ projected, not measured")
    for flag in dict.fromkeys(flag for entry in entries for flag in entry.flags):
        notes.append(f"! {_where([entry for entry in entries if flag in entry.flags])}: {flag}")
    for word, note in dict.fromkeys((entry.word, entry.note) for entry in entries if entry.note):
        where = _where([entry for entry in entries if (entry.word, entry.note) == (word, note)])
        notes.append(f"{where}{' failed' if word == 'failed' else ''}: {note}")
    return notes


def _where(entries: Sequence[Entry]) -> str:
    if len(entries) > 3:
        return f"{len(entries)} cells"
    return "; ".join(f"{entry.row}, {entry.column}" for entry in entries)


def _digits(printed: float | None) -> int:
    """Count the decimals a printed number has, so that 308 is not shown as 308.00."""
    return 0 if printed is None else len(f"{printed:.4f}".rstrip("0").partition(".")[2])
