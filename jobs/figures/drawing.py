"""Figures for print: rows of frames over time, made pixel by pixel, with vector labels around them."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.figures.shown import Shown, ShownStage, paint
from results.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 360
"""Pixels an inch: a row of eight frames is as wide as a page's text."""
GAP, HEADER = 8, 64
"""Pixels between frames, and of the margin that holds the columns' labels."""
FONT, LINE, LETTER = 7, 46, 20
"""Points; and in pixels a line of text, and the most that a letter takes on average."""
COLOURS = "cividis"
"""Of the heat maps: even in lightness, so that it reads in grey, and fit for the colour-blind."""
ABSENT = 235
"""The grey of tokens without a value."""
EDGE = 150
"""The grey of the line around each frame."""
STYLE: dict[Any, Any] = {"font.size": FONT, "pdf.fonttype": 42, "text.parse_math": False}


@dataclass(frozen=True)
class Row:
    """A labelled row of pictures (slots, side, side, 3), uint8."""

    label: str
    pictures: np.ndarray


def token_rows(shown: Shown) -> list[Row]:
    """The frames, one a slot, and for each stage the same with the patches of dropped tokens in white, those of merged
    ones in one colour."""
    share = [f"stage {one.number}\n{one.where}\n{_percent(one)} left" for one in shown.stages]
    pictures = [paint(shown, stage)[:: shown.tubelet] for stage in shown.stages]
    return [_frame_row(shown), *(Row(label, row) for label, row in zip(share, pictures, strict=True))]


def heat_rows(shown: Shown) -> list[Row]:
    """The frames, and for each stage a row a map: what the choice rested on, in colours."""
    rows = [_frame_row(shown)]
    for stage in shown.stages:
        rows += [
            Row(f"stage {stage.number}\n{name}", _heat(shown, values, stage.span))
            for name, values in stage.maps.items()
        ]
    return rows


def _frame_row(shown: Shown) -> Row:
    return Row("frames", shown.frames[:: shown.tubelet])


def draw(rows: Sequence[Row], numbers: Sequence[int], files: Sequence[Path], key: str = "") -> None:
    """Write rows of pictures, taken from the video's frames `numbers`, to `files`, whose endings (png, pdf) say how.

    key: what the heat maps' colours stand for; without it there is no key to them.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the user's own settings must not change pixels
        matplotlib.rcParams.update(STYLE)
        figure = _figure(rows, numbers, key)
        for file in files:
            metadata = {"CreationDate": None} if file.suffix == ".pdf" else {}  # the same pictures, the same file
            with replacing(file) as temporary:
                figure.savefig(temporary, format=file.suffix[1:], dpi=DPI, metadata=metadata)


def _figure(rows: Sequence[Row], numbers: Sequence[int], key: str) -> "Figure":
    from matplotlib.figure import Figure

    count, side = rows[0].pictures.shape[:2]
    step, margin = side + GAP, _margin([row.label for row in rows])
    lines = textwrap.wrap(key, max(1, (count - 1) * step // LETTER))
    end = HEADER + len(rows) * step
    width, height = margin + count * step, end + (LINE * (len(lines) + 1) if key else 0)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)

    def show(image: np.ndarray, left: int, top: int, wide: int, high: int, **how: Any) -> None:
        # A whole number of pixels at a whole place, so that none is blended with its neighbours.
        axes = figure.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height))
        axes.imshow(image, interpolation="none", aspect="auto", **how)
        axes.set_axis_off()

    pictures = _side_by_side(rows)
    show(pictures, margin - GAP, HEADER - GAP, pictures.shape[1], pictures.shape[0])
    for r, row in enumerate(rows):
        y = HEADER + r * step + side / 2
        figure.text((margin - 12) / width, 1 - y / height, row.label, ha="right", va="center")
    for c, number in enumerate(numbers):
        x = margin + c * step + side / 2
        figure.text(x / width, 1 - (HEADER - 10) / height, f"frame {number}", ha="center", va="bottom")
    if key:
        show(np.linspace(0, 1, 256)[None], margin, end + 24, side, 24, cmap=COLOURS)
        figure.text((margin + step + LETTER) / width, 1 - (end + 20) / height, "\n".join(lines), va="top")
    return figure


def _side_by_side(rows: Sequence[Row]) -> np.ndarray:
    """All pictures as one, with white between them and a line around each: white patches at an edge are its own."""
    count, side = rows[0].pictures.shape[:2]
    step = side + GAP
    whole = np.full((len(rows) * step + GAP, count * step + GAP, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row.pictures):
            top, left = GAP + r * step, GAP + c * step
            whole[top - 1 : top + side + 1, left - 1 : left + side + 1] = EDGE
            whole[top : top + side, left : left + side] = picture
    return whole


def _margin(labels: Sequence[str]) -> int:
    """Pixels that the longest line of the labels needs."""
    from matplotlib.textpath import TextPath

    lines = [line for label in labels for line in label.splitlines()]
    return 24 + max(math.ceil(TextPath((0, 0), line, size=FONT).get_extents().width * DPI / 72) for line in lines)


def _percent(stage: ShownStage) -> str:
    return f"{100 * stage.left / stage.held.size:.0f} %"


def _heat(shown: Shown, values: np.ndarray, span: int) -> np.ndarray:
    """(slots, side, side, 3): the map's colours, light grey where there is no value."""
    from matplotlib import colormaps

    pixels = shown.in_pixels(values, span)
    colours = (255 * colormaps[COLOURS](np.nan_to_num(pixels))[..., :3]).round()
    return np.where(np.isnan(pixels)[..., None], ABSENT, colours).astype(np.uint8)
