"""What the content of a record must be."""

import math
import re
from collections.abc import Mapping
from typing import Any

CELL_FIELDS = ("model", "reduction", "dataset", "views", "metric")
STATUSES = ("done", "partial", "projected")
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_TYPES: dict[str, type] = {
    **dict.fromkeys(("id", "unit", "status", "profile", "job", "started", "ended"), str),
    **dict.fromkeys(("cell", "settings", "samples", "counts", "provenance"), dict),
    **dict.fromkeys(("skipped", "flags", "notes"), list),
}


def problem_of(content: Mapping[str, Any]) -> str:
    """Say in a line what keeps `content` from being a record; empty if nothing does."""
    for name, kind in _TYPES.items():
        if not isinstance(content[name], kind):
            return f"{name} is not a {kind.__name__}"
    value, cell, counts = content["value"], content["cell"], content["counts"]
    try:
        finite = not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        return "value is not a finite number"
    if not _ID.fullmatch(content["id"]):
        return "id is not made of letters, digits, '.', '_' and '-'"
    if content["status"] not in STATUSES:
        return f"status {content['status']!r:.40} is none of {', '.join(STATUSES)}"
    if set(cell) != set(CELL_FIELDS) or not all(isinstance(text, str) for text in cell.values()):
        return f"cell does not have exactly {', '.join(CELL_FIELDS)}, all text"
    whole = all(type(number) is int for number in counts.values())
    if counts and not (whole and set(counts) == {"evaluated", "listed"}):
        return "counts does not have exactly evaluated and listed, both whole numbers"
    if counts and not 0 <= counts["evaluated"] <= counts["listed"]:
        return "counts has more videos evaluated than listed"
    for item in content["skipped"]:
        texts = [item.get(name) for name in ("video", "reason")] if isinstance(item, dict) else [None]
        if not all(isinstance(text, str) for text in texts):
            return "skipped does not have video and reason in each item, both text"
    return ""
