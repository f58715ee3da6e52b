"""Figures for print: rows of frames over time, made pixel by pixel, with vector labels around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobs.figures.shown import Shown, ShownStage, whiten
from results.files import replacing

DPI = 360
"""Pixels an inch: a row of eight frames is as wide as a page's text."""
GAP, LABELS, HEADER = 6, 260, 46
"""Pixels between frames, and of the margins that hold the rows' and the columns' labels."""
COLOURS = "cividis"
"""Of the heat maps: even in lightness, so that it reads in grey, and fit for the colour-blind."""
SHADE = 0.85
"""How opaque a heat map lies over its frame."""
ABSENT = 235
"""The grey of tokens without a value."""


@dataclass(frozen=True)
class Row:
    """A labelled row of pictures (slots, side, side, 3), uint8."""

    label: str
    pictures: np.ndarray


def token_rows(shown: Shown) -> list[Row]:
    """The frames, one a slot, and for each stage the same with the patches of dropped tokens in white."""
    share = [f"stage {n}\nafter block {one.block}\n{_percent(one)} left" for n, one in enumerate(shown.stages, 1)]
    pictures = [whiten(shown, stage)[:: shown.tubelet] for stage in shown.stages]
    return [frame_row(shown), *(Row(label, row) for label, row in zip(share, pictures, strict=True))]


def heat_rows(shown: Shown) -> list[Row]:
    """The frames, and for each stage a row a map: what the choice rested on, in colours over the grey frames."""
    rows = [frame_row(shown)]
    for number, stage in enumerate(shown.stages, 1):
        rows += [Row(f"stage {number}\n{name}", _heat(shown, values)) for name, values in stage.maps.items()]
    return rows


def frame_row(shown: Shown) -> Row:
    return Row("frames", shown.frames[:: shown.tubelet])


def draw(rows: Sequence[Row], numbers: Sequence[int], files: Sequence[Path], scale: str = "") -> None:
    """Write rows of pictures, taken from the video's frames `numbers`, to `files`, whose endings (png, pdf) say how.

    scale: what the ends of the heat maps' colours stand for; without it there is no key to them.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    count, side = rows[0].pictures.shape[:2]
    footer = 70 if scale else 0
    width = LABELS + count * (side + GAP)
    height = HEADER + len(rows) * (side + GAP) + footer
    with rc_context({"font.size": 7, "pdf.fonttype": 42, "text.parse_math": False}):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        for r, row in enumerate(rows):
            top = HEADER + r * (side + GAP)
            figure.text((LABELS - 12) / width, 1 - (top + side / 2) / height, row.label, ha="right", va="center")
            for c, picture in enumerate(row.pictures):
                left = LABELS + c * (side + GAP)
                # A whole number of pixels at a whole place, so that none is blended with its neighbours.
                place = (left / width, 1 - (top + side) / height, side / width, side / height)
                axes = figure.add_axes(place)
                axes.imshow(picture, interpolation="none", aspect="auto")
                axes.set_axis_off()
        for c, number in enumerate(numbers):
            x = (LABELS + c * (side + GAP) + side / 2) / width
            figure.text(x, 1 - (HEADER - 10) / height, f"frame {number}", ha="center", va="bottom")
        if scale:
            axes = figure.add_axes((LABELS / width, 38 / height, 2 * side / width, 18 / height))
            axes.imshow(np.linspace(0, 1, 256)[None], cmap=COLOURS, aspect="auto")
            axes.set_axis_off()
            figure.text((LABELS + 2 * side + 20) / width, 47 / height, scale, va="center")
        for file in files:
            with replacing(file) as temporary:
                figure.savefig(temporary, format=file.suffix[1:], dpi=DPI, metadata=_undated(file))


def _percent(stage: ShownStage) -> str:
    return f"{100 * stage.kept.mean():.0f} %"


def _heat(shown: Shown, values: np.ndarray) -> np.ndarray:
    """(slots, side, side, 3): the map's colours over the frames in grey; light grey where there is no value."""
    from matplotlib import colormaps

    size = shown.frames.shape[1] // shown.columns
    pixels = values.reshape(shown.slots, shown.columns, shown.columns).repeat(size, axis=1).repeat(size, axis=2)
    grey = shown.frames[:: shown.tubelet].mean(axis=-1, keepdims=True)
    colours = 255 * colormaps[COLOURS](np.nan_to_num(pixels))[..., :3]
    mixed = SHADE * colours + (1 - SHADE) * grey
    return np.where(np.isnan(pixels)[..., None], ABSENT, mixed).round().astype(np.uint8)


def _undated(file: Path) -> dict[str, None]:
    """Without the date, the same pictures are the same files."""
    return {"CreationDate": None} if file.suffix == ".pdf" else {}
