"""Whether a figure's page.json, which may come from elsewhere, can be drawn as it is."""

import base64
import re
from collections.abc import Mapping
from typing import Any

MOST = 1000
"""Patches across a frame, or down."""
HIGHEST = 99
"""The highest value of a map."""
JPEG = b"\xff\xd8\xff"
"""How such a file begins."""


def problem_of(content: Mapping[str, Any]) -> str:
    """Say in a line what keeps a page.json from being drawn; empty where nothing does."""
    try:
        return _problem(content)
    except (KeyError, TypeError, AttributeError) as error:
        return f"it has not the form of a figure: {error!s:.80}"


def _problem(content: Mapping[str, Any]) -> str:
    rows, columns, slots, stages = (content[name] for name in ("rows", "columns", "slots", "stages"))
    whole = all(type(number) is int and 0 < number <= MOST for number in (rows, columns))
    texts = all(isinstance(content[name], str) for name in ("video", "model", "reduction"))
    if not (whole and texts and slots):
        return "rows, columns, slots, video, model or reduction is not what it should be"
    if not all(type(slot["frame"]) is int and _is_jpeg(slot["jpeg"]) for slot in slots):
        return "a frame is not a JPEG in base64"
    for stage in stages:
        kept, maps = stage["kept"], stage.get("maps", {}).values()
        whole = all(len(slots_of) == len(slots) for slots_of in (kept, *maps))
        parts = [part for slots_of in (kept, *maps) for part in slots_of]
        span = stage.get("span", 1)
        if type(span) is not int or not 0 < span <= MOST:
            return "a stage does not say how many patches its positions span"
        count = -(-rows // span) * -(-columns // span)
        if type(stage["block"]) is not int or not whole or {len(part) for part in parts} != {count}:
            return "a stage has not one value a patch and slot"
        if not all(set(slot) <= {"0", "1"} for slot in kept):
            return "what a stage keeps is not said in 0 and 1"
        groups, colours = stage.get("groups", []), stage.get("colours", [])
        if groups and (len(groups) != len(slots) or {len(slot) for slot in groups} != {count}):
            return "the groups of merged tokens have not one number a patch and slot"
        if not all(type(one) is int and 0 <= one <= len(colours) for slot in groups for one in slot):
            return "a group of merged tokens has no colour"
        if not all(isinstance(one, str) and re.fullmatch("[0-9a-f]{6}", one) for one in colours):
            return "a colour is not said in six digits"
        if (
            not all(isinstance(stage.get(name, ""), str) for name in ("where",))
            or type(stage.get("left", 0)) is not int
        ):
            return "where a stage ran, or how much it left, is not what it should be"
        if not all(value is None or _is_level(value) for values in maps for slot in values for value in slot):
            return f"a map holds other values than numbers from 0 to {HIGHEST} and null"
    return ""


def _is_jpeg(text: str) -> bool:
    try:
        return base64.b64decode(text, validate=True).startswith(JPEG)
    except ValueError:
        return False


def _is_level(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= HIGHEST
