"""What an HTML page needs to show a clip: small frames, and which patches each stage kept."""

import base64
import io
from typing import Any

import numpy as np

from jobs.figures.shown import Shown, ShownStage

SIDE = 224
"""Pixels of a frame."""
QUALITY = 75
"""Of the JPEG files."""
LEVELS = 99
"""The highest value of a map."""


def page_data(shown: Shown) -> dict[str, Any]:
    """Plain data: the frames as JPEG in base64, `kept` as a 0 or 1 a position of a stage, `span` patches across, maps
    in whole numbers from 0 to LEVELS; where tokens were merged, `groups` has for each patch a number of `colours`, from
    1 on, or 0."""
    numbers, frames = shown.numbers[:: shown.tubelet], shown.frames[:: shown.tubelet]
    return {
        "video": shown.video,
        "model": shown.model,
        "reduction": shown.reduction,
        "rows": shown.columns,
        "columns": shown.columns,
        "slots": [{"frame": n, "jpeg": _jpeg(frame)} for n, frame in zip(numbers, frames, strict=True)],
        "stages": [_stage(shown, stage) for stage in shown.stages],
    }


def _stage(shown: Shown, stage: ShownStage) -> dict[str, Any]:
    maps = {name: [_levels(slot) for slot in values] for name, values in stage.maps.items()}
    groups, merged = stage.groups, {}
    if groups.any():
        colours = [bytes(one).hex() for one in shown.colours(groups)[1:]]
        merged = {"groups": groups.tolist(), "colours": colours}
    return merged | {
        "number": stage.number,
        "where": stage.where,
        "left": stage.left,
        "span": stage.span,
        "block": stage.block,
        "kept": ["".join("01"[int(patch)] for patch in slot) for slot in stage.kept],
        "maps": maps,
    }


def _levels(values: np.ndarray) -> list[int | None]:
    return [None if np.isnan(value) else round(LEVELS * float(value)) for value in values]


def _jpeg(frame: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(file, "JPEG", quality=QUALITY)
    return base64.b64encode(file.getvalue()).decode()
