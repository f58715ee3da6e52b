"""The generated video set: what the demo trains on and evaluates, made on the spot from seeds alone.

    python -m jobs.data.demo ROOT [--split val] [--workers 2]

Sixteen classes are eight motions times two looks. In every video two copies of one object lie on a torus,
half a period apart. The state of the object is its place on the torus, its angle and its zoom, all periodic,
and the first state is drawn uniformly; a motion moves one of the four at constant speed. So a single
frame has the same distribution under every motion, no motion ever ends (nothing leaves the frame or stops
growing), and whatever clip and crop is taken shows the class.
"""

from __future__ import annotations

import math
import sys

import numpy as np

from jobs.data.generated import GeneratedSet, Video

WIDTH, HEIGHT, FPS = 96, 72, 25
CRF = 23
FRAMES = {"train": (65, 72), "val": (125, 128)}
"""Least and most frames of a video, by split. At stride 4 a val video has 32, so that 16 clips of 16 start at different
ones (and fewer clips at some of those); a train video has 17 or 18, and is made and decoded in half the time."""

MOTIONS = ("left", "right", "up", "down", "approaching", "receding", "clockwise", "counterclockwise")
LOOKS = ("checkered", "squares")
CLASSES = tuple(f"{motion}-{look}" for motion in MOTIONS for look in LOOKS)

# (axis of the state, sign): x and y grow rightwards and downwards, the angle clockwise on the screen.
_FLOWS = {
    "left": ("x", -1), "right": ("x", 1), "up": ("y", -1), "down": ("y", 1),
    "approaching": ("zoom", 1), "receding": ("zoom", -1),
    "clockwise": ("angle", 1), "counterclockwise": ("angle", -1),
}  # fmt: skip

# Slowest and fastest speed along each axis of the state, per step of 4 frames: pixels, periods of zoom,
# radians. All lie well below half of the period of what they move, so no direction is aliased.
_SPEEDS = {"x": (4.0, 6.0), "y": (4.0, 6.0), "zoom": (0.13, 0.20), "angle": (0.25, 0.40)}
_STEP = 4

_RADIUS = (20.0, 23.0)  # of an object, pixels; two copies fit side by side on the torus
_ZOOM_PERIOD = 4.0  # an object looks the same when magnified by this
_CORNER = {"checkered": 1.0, "squares": 1.25}  # how far a look reaches, in radii
# Red, green and blue, about which the colours of each video are drawn.
_GROUND, _DARK = (80, 105, 135), (130, 60, 50)
_LIGHT = {"checkered": (225, 215, 140), "squares": (225, 200, 205)}
_NOISE = 3  # largest noise, in grey levels of 255


def render(
    motion: str, look: str, seed: tuple[int, ...], backwards: bool = False, frames: tuple[int, int] = FRAMES["val"]
) -> np.ndarray:
    """The pixels of one video, uint8 (F, HEIGHT, WIDTH, 3), F from `frames`, ends included: the same on any machine.

    `backwards` plays the motion against time from the same first frame, which is the opposite motion.
    Computed in float64 and rounded, so that a last bit of difference in a machine's sine does not show.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(*frames, endpoint=True))
    radius = rng.uniform(*_RADIUS)
    state = {
        "x": rng.uniform(0, WIDTH),
        "y": rng.uniform(0, HEIGHT),
        "zoom": rng.uniform(0, 1),
        "angle": rng.uniform(0, 2 * math.pi),
    }
    pace = rng.uniform(0, 1)
    backdrop = _backdrop(rng)
    light, dark = _near(_LIGHT[look], rng), _near(_DARK, rng)
    noise = rng.integers(-_NOISE, _NOISE, size=(count, HEIGHT * WIDTH, 1), dtype=np.int8, endpoint=True)

    axis, sign = _FLOWS[motion]
    slowest, fastest = _SPEEDS[axis]
    speed = (slowest + pace * (fastest - slowest)) / _STEP * sign * (-1 if backwards else 1)
    pixels = np.empty((count, HEIGHT * WIDTH, 3), np.uint8)
    for t in range(count):
        covered, cover, tone = _object(look, radius, **(state | {axis: state[axis] + speed * t}))
        frame = backdrop.copy()
        frame[covered] += (dark + (light - dark) * tone[:, None] - frame[covered]) * cover[:, None]
        pixels[t] = np.rint(frame + noise[t]).clip(0, 255)
    return pixels.reshape(count, HEIGHT, WIDTH, 3)


def _object(
    look: str, radius: float, x: float, y: float, zoom: float, angle: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels on which the two copies lie, numbered row by row, with their cover and tone there, 0 … 1."""
    column = np.arange(WIDTH) + WIDTH / 4 - x
    copy = np.floor(column / (WIDTH / 2))
    dx = column - copy * (WIDTH / 2) - WIDTH / 4
    row = np.arange(HEIGHT)[:, None] - y + copy % 2 * (HEIGHT / 2)
    dy = row - np.floor(row / HEIGHT + 0.5) * HEIGHT
    squared = dx**2 + dy**2
    covered = np.flatnonzero(squared < (_CORNER[look] * radius) ** 2)
    dx, dy, distance = dx[covered % WIDTH], dy.ravel()[covered], np.sqrt(squared.ravel()[covered])
    across = dx * math.cos(angle) + dy * math.sin(angle)
    along = dy * math.cos(angle) - dx * math.sin(angle)

    if look == "squares":
        distance = np.maximum(distance / _CORNER[look], np.maximum(abs(across), abs(along)) * 1.15)
    phase = 2 * math.pi * (np.log(np.maximum(distance, 0.5) / radius) / math.log(_ZOOM_PERIOD) - zoom)
    # A wave is made square, with edges as steep as the pixels bear: pixels a radian of its phase.
    wave = np.clip(np.sin(phase) * distance * math.log(_ZOOM_PERIOD) / (2 * math.pi), -1, 1)
    if look == "checkered":
        twice_sine = 2 * across * along / np.maximum(distance, 0.5) ** 2  # of twice the polar angle
        wave *= np.clip(twice_sine * distance / 2, -1, 1)
    return covered, np.clip((radius - distance) / 1.5, 0, 1), 0.5 + 0.5 * wave


def _backdrop(rng: np.random.Generator) -> np.ndarray:
    """A still, softly textured ground with one plain disc on it that does not move; (HEIGHT * WIDTH, 3)."""
    rows, columns = np.arange(HEIGHT)[:, None], np.arange(WIDTH)[None, :]
    ground = np.empty((HEIGHT, WIDTH, 3))
    ground[:] = _near(_GROUND, rng)
    for _ in range(4):
        turn, wavelength, phase = rng.uniform(0, math.pi), rng.uniform(10, 50), rng.uniform(0, 2 * math.pi)
        ripple = np.sin((columns * math.cos(turn) + rows * math.sin(turn)) * 2 * math.pi / wavelength + phase)
        ground += ripple[..., None] * rng.uniform(-8, 8, size=3)
    x, y, radius = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(4, 7)
    disc = np.clip(radius - np.hypot(columns - x, rows - y), 0, 1)
    return (ground + (_near(_GROUND, rng, 60) - ground) * disc[..., None]).reshape(-1, 3)


def _near(colour: tuple[int, int, int], rng: np.random.Generator, spread: int = 25) -> np.ndarray:
    return np.array(colour) + rng.uniform(-spread, spread, size=3)


def pixels(video: Video) -> np.ndarray:
    """The frames of one video of the set."""
    motion, look = CLASSES[video.label].split("-")
    return render(motion, look, video.seed, frames=FRAMES[video.split])


SET = GeneratedSet("demo-4", CLASSES, {"train": 1024, "val": 64}, "jobs.data.demo")


if __name__ == "__main__":
    sys.exit(SET.main())
