"""A generated video set that tells reductions apart: in each video a small disc crosses a still ground for a moment.

    python -m jobs.data.glimpse ROOT [--split val] [--workers 2]

The eight classes are the disc's colour. The ground, grey and textured with grey discs of its own, fills everything
else and never moves, so of the hundreds of tokens of a clip only a few tell the class: which ones a reduction keeps
matters. In val the discs are small and seen for two of a clip's sixteen frames; in train, also larger and longer, so
that a small model learns the task in minutes.
"""

from __future__ import annotations

import colorsys
import math
import sys

import numpy as np

from jobs.data.generated import GeneratedSet, Video

SIDE, FRAMES = 56, 31
"""Pixels, and frames of a video: at stride 2 it has one clip of 16, and one crop, whatever views are asked for."""
STRIDE = 2
CRF = 10
"""So fine that nothing of the disc is left in the frames after it."""
CLASSES = ("red", "amber", "lime", "green", "cyan", "blue", "violet", "magenta")

# Radius in pixels, and for how many frames of a clip the disc is seen.
_SEEN = {"train": ((2.6, 6.0), (2, 6)), "val": ((2.6, 3.2), (2, 2))}
_SPEED = (0.75, 1.5)  # pixels a frame
_NOISE = 1  # largest noise, in grey levels of 255


def pixels(video: Video) -> np.ndarray:
    """The frames of one video of the set, uint8 (FRAMES, SIDE, SIDE, 3): the same on any machine."""
    rng = np.random.default_rng((1, *video.seed))
    radii, moments = _SEEN[video.split]
    ground = _ground(rng)
    radius, moment = rng.uniform(*radii), STRIDE * int(rng.integers(*moments, endpoint=True))
    first = int(rng.integers(1, FRAMES - moment))  # never in the first frame
    x, y = rng.uniform(8, SIDE - 8, size=2)
    turn, speed = rng.uniform(0, 2 * math.pi), rng.uniform(*_SPEED)
    hue = (video.label / len(CLASSES) + rng.uniform(-0.02, 0.02)) % 1
    colour = 255 * np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.85, 1), rng.uniform(0.8, 1)))
    noise = rng.integers(-_NOISE, _NOISE, size=(FRAMES, SIDE, SIDE, 1), dtype=np.int8, endpoint=True)
    frames = np.empty((FRAMES, SIDE, SIDE, 3), np.uint8)
    for t in range(FRAMES):
        frame = ground
        if first <= t < first + moment:
            moved = speed * (t - first)
            cover = _disc(x + moved * math.cos(turn), y + moved * math.sin(turn), radius)
            frame = ground + (colour - ground) * cover
        frames[t] = np.rint(frame + noise[t]).clip(0, 255)
    return frames


def _ground(rng: np.random.Generator) -> np.ndarray:
    """Grey ripples and discs, (SIDE, SIDE, 3)."""
    rows, columns = np.arange(SIDE)[:, None], np.arange(SIDE)[None, :]
    ground = np.tile(rng.uniform(60, 160, size=3), (SIDE, SIDE, 1))
    for _ in range(4):
        turn, wavelength, phase = rng.uniform(0, math.pi), rng.uniform(6, 40), rng.uniform(0, 2 * math.pi)
        ripple = np.sin((columns * math.cos(turn) + rows * math.sin(turn)) * 2 * math.pi / wavelength + phase)
        ground += ripple[..., None] * rng.uniform(-14, 14, size=3)
    for _ in range(6):
        grey = rng.uniform(40, 200) + rng.uniform(-25, 25, size=3)
        ground += (grey - ground) * _disc(rng.uniform(0, SIDE), rng.uniform(0, SIDE), rng.uniform(2.5, 5))
    return ground


def _disc(x: float, y: float, radius: float) -> np.ndarray:
    """How much of each pixel a disc covers, (SIDE, SIDE, 1)."""
    distance = np.hypot(np.arange(SIDE)[None, :] - x, np.arange(SIDE)[:, None] - y)
    return np.clip(radius - distance, 0, 1)[..., None]


SET = GeneratedSet("glimpse-1", CLASSES, {"train": 2048, "val": 512}, "jobs.data.glimpse")


if __name__ == "__main__":
    sys.exit(SET.main())
