"""Long-format CSV: one line a cell, values unrounded."""

import csv
import io
from collections.abc import Sequence

from results.render.view import TableView, to_json


def render(views: Sequence[TableView]) -> str:
    """Return one CSV file for all tables, with a header line; see `to_json` for what the columns hold."""
    names = ["table", "row", "column", "metric", "value", "published", "difference", "status", "note"]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names, "record", "inferred"], lineterminator="\n")
    writer.writeheader()
    entries = [entry for view in views for entry in view.in_order()]
    for line, entry in zip(to_json(views), entries, strict=True):
        # Ten decimals hide what binary floats add to a difference of decimals.
        line["difference"] = None if entry.difference is None else round(entry.difference, 10)
        writer.writerow(line)
    return text.getvalue()
