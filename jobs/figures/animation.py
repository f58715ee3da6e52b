"""A clip that plays: its frames, and beside them the same as the stages leave them."""

from pathlib import Path

import numpy as np

from jobs.figures.shown import Shown, paint
from results.files import replacing

FRAME_MS = 200
SIDE = 224
"""Pixels of a frame, at most."""
GAP, LABEL = 4, 22
"""Pixels between the frames, and of the line above that says what they are."""


def animate(shown: Shown, file: Path) -> None:
    """Write the clip as a GIF that loops."""
    from PIL import Image, ImageDraw, ImageFont

    size = max(1, min(SIDE, shown.frames.shape[1]) // shown.columns)
    side, font = size * shown.columns, ImageFont.load_default(14)
    titles = ["frames", *(f"stage {stage.number}" for stage in shown.stages)]
    panels = [shown.frames, *(paint(shown, stage) for stage in shown.stages)]
    pictures = []
    for number in range(len(shown.frames)):
        canvas = Image.new("RGB", (len(panels) * (side + GAP) - GAP, LABEL + side), "white")
        pen = ImageDraw.Draw(canvas)
        for place, (title, panel) in enumerate(zip(titles, panels, strict=True)):
            left = place * (side + GAP)
            pen.text((left + side / 2, LABEL / 2), title, fill="black", font=font, anchor="mm")
            frame = Image.fromarray(np.ascontiguousarray(panel[number]))
            # Boxes are whole patches, or parts of one: nothing white bleeds into what was kept.
            canvas.paste(frame.resize((side, side), Image.Resampling.BOX), (left, LABEL))
        pictures.append(canvas)
    with replacing(file) as temporary:
        pictures[0].save(
            temporary, "GIF", save_all=True, append_images=pictures[1:], duration=FRAME_MS, loop=0, optimize=False
        )
