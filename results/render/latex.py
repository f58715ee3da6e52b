"""LaTeX table environments; the document needs \\usepackage{booktabs}."""

import re
import unicodedata
from collections.abc import Sequence

from tabulate import LATEX_ESCAPE_RULES, tabulate

from results.render.grid import SUPERSCRIPTS, Grid, lay_out, printable
from results.render.table_view import TableView

_SIGNS = {
    "≤": "le",
    "≥": "ge",
    "≠": "ne",
    "≈": "approx",
    "→": "to",
    "←": "gets",
    "∞": "infty",
    "·": "cdot",
    "√": "surd",
    "∈": "in",
}
_CAPITALS = ["gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega"]
_SYMBOLS = {
    **{char: rf"\textsuperscript{{{letter}}}" for char, letter in SUPERSCRIPTS.items()},
    "†": r"\textsuperscript{\dag}",
    "×": r"$\times$",
    "−": "$-$",
    "±": r"$\pm$",
    "|": r"\textbar{}",
    **{char: rf"$\{name}$" for char, name in _SIGNS.items()},
    # At the start of a line LaTeX would take it for an option of the line break before.
    "[": "{[}",
}

OGONEK = "\u0328"


def render(views: Sequence[TableView]) -> str:
    """Return a table environment each, captioned and labelled `tab:<name>`, with the notes under it."""
    return "\n".join(_table(view) for view in views)


def _table(view: TableView) -> str:
    grid = lay_out(view, wide=False)
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{_escape(printable(view.title))}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]', '-', view.name)}}}",
        *_tabular(view, grid),
    ]
    if grid.footnotes:
        lines += [
            r"\par\smallskip",
            r"\begin{minipage}{\linewidth}\footnotesize\raggedright",
            *(rf"{_escape(note)}\par" for note in grid.footnotes),
            r"\end{minipage}",
        ]
    return "\n".join([*lines, r"\end{table}", ""])


def _tabular(view: TableView, grid: Grid) -> list[str]:
    headers = [view.corner]
    above, rules, end = [""], [], 1
    for column, parts in grid.groups:
        start, end = end + 1, end + len(parts)
        if len(parts) == 1:
            headers.append(column)
            above.append("")
        else:
            headers += parts
            above.append(rf"\multicolumn{{{len(parts)}}}{{c}}{{{_escape(printable(column))}}}")
            rules.append(rf"\cmidrule(lr){{{start}-{end}}}")
    text = tabulate(
        [[re.sub(r"^-(?=\d)", "−", cell) for cell in line] for line in grid.lines],
        headers=[printable(text) for text in headers],
        tablefmt="latex_booktabs",
        disable_numparse=True,
        colalign=["left"] + ["right"] * (len(headers) - 1),
    )
    lines = _symbols(text).splitlines()
    if rules:
        at = lines.index(r"\toprule") + 1
        lines[at:at] = [" & ".join(above) + r" \\", " ".join(rules)]
    return lines


def _escape(text: str) -> str:
    return _symbols("".join(LATEX_ESCAPE_RULES.get(char, char) for char in text))


def _symbols(text: str) -> str:
    return "".join(_SYMBOLS.get(char) or (char if _known(char) else _greek(char) or _code(char)) for char in text)


def _known(char: str) -> bool:
    """Whether pdflatex has the character without any package: ASCII, and European letters with most accents."""
    if char.isascii() or char in "–—‘’“”…§©æÆøØœŒßłŁı":
        return True
    letter, *marks = list(unicodedata.normalize("NFD", char))
    return char < "\u0180" and letter.isascii() and len(marks) == 1 and marks[0] != OGONEK


def _greek(char: str) -> str:
    """A Greek letter as mathematics have it; empty for what is none, and for capitals that look like Latin ones."""
    found = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (FINAL )?(\w+)", unicodedata.name(char, ""))
    if not found or found[3] == "OMICRON":
        return ""
    name = found[3].lower().replace("lamda", "lambda")
    if found[1] == "CAPITAL":
        return rf"$\{name.capitalize()}$" if name in _CAPITALS else ""
    return rf"$\{'var' if found[2] else ''}{name}$"


def _code(char: str) -> str:
    return rf"\textbackslash{{}}{ascii(char)[2:-1]}"
