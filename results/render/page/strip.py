"""The frames of a figure after each stage, as pictures that need no script: for paper, and for readers without one."""

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any


def across(stage: Mapping[str, Any], content: Mapping[str, Any]) -> int:
    """Return how many positions of a stage lie side by side."""
    return int(-(-content["columns"] // stage.get("span", 1)))


def merged(stage: Mapping[str, Any], slot: int, columns: int) -> list[tuple[str, str]]:
    """Return of each merged token of a slot its colour and the SVG path over its patches."""
    if not stage.get("groups"):
        return []
    groups = stage["groups"][slot]
    masks = {one: "".join("0" if other == one else "1" for other in groups) for one in sorted(set(groups) - {0})}
    return [(stage["colours"][one - 1], cover(mask, columns)) for one, mask in masks.items()]


def said(stage: Mapping[str, Any], number: int) -> str:
    """Return what a stage left, in words."""
    patches = "".join(stage["kept"])
    where = stage.get("where") or f"after block {stage['block']}"
    text = f"Stage {stage.get('number', number)} {where}: {patches.count('1')} of {len(patches)} {_unit(stage)} kept"
    return text + (f", merged into {stage['left']} tokens" if stage.get("groups") else "")


def _unit(stage: Mapping[str, Any]) -> str:
    return "patches" if stage.get("span", 1) == 1 else "tokens"


def cover(kept: str, columns: int) -> str:
    """Return the SVG path over the positions that are not kept, one being 1 by 1; `kept` is a '0' or '1' a position in
    row-major order."""
    lines = [kept[first : first + columns] for first in range(0, len(kept), columns)]
    path, top = "", 0
    for line, same in groupby(lines):
        height = len(list(same))
        for run in re.finditer("0+", line):
            width = len(run[0])
            path += f"M{run.start()} {top}h{width}v{height}h-{width}z"
        top += height
    return path
