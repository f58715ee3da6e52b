"""The frames of a figure after each stage, as pictures that need no script: for paper, and for readers without one."""

import re
from itertools import groupby


def cover(kept: str, columns: int) -> str:
    """Return the SVG path over the patches that are not kept, a patch being 1 by 1; `kept` is a '0' or '1' a patch in
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
