"""Long-format CSV: one line a cell, values unrounded."""

import csv
import io
import re
from collections.abc import Sequence

from results.render.table_view import TableView, to_json


def render(views: Sequence[TableView]) -> str:
    """Return one CSV file for all tables, with a header line; see `to_json` for what the columns hold.

    Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    names = ["table", "row", "column", "metric", "value", "published", "difference", "status", "note"]
    text = io.StringIO()
    entries = [entry for view in views for entry in view.in_order()]
    of_runs = ["deviation", "runs"] if any(entry.runs for entry in entries) else []
    writer = csv.DictWriter(text, [*names, "record", "inferred", *of_runs], lineterminator="\n")
    writer.writeheader()
    for line, entry in zip(to_json(views), entries, strict=True):
        # Ten decimals hide what binary floats add to a difference of decimals.
        line["difference"] = None if entry.difference is None else round(entry.difference, 10)
        if entry.runs:
            line["runs"] = " ".join(f"{seed}={id}" for seed, id in entry.runs)
        writer.writerow({name: _as_text(value) if isinstance(value, str) else value for name, value in line.items()})
    return text.getvalue()


def _as_text(text: str) -> str:
    formula = text.startswith(("=", "+", "-", "@", "\t", "\r"))
    # Older Pythons do not quote a bare carriage return, and the line would end there.
    return "'" * formula + re.sub("\r\n?", "\n", text)
