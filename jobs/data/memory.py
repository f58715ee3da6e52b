"""Small data sets kept in memory: every video is decoded once, and clips for training are cut from what is kept.

At 34 strided frames of 74×56 a video takes 0.4 MB, so this suits thousands of small videos, not Kinetics.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jobs.data.labels import Item
from jobs.data.pool import DecodePool
from jobs.data.reader import Unreadable


@dataclass(frozen=True)
class StridedRequest:
    """Every `stride`-th frame of the whole video, from which dense sampling takes all its clips."""

    short_side: int
    stride: int = 4

    def numbers(self, num_frames: int) -> list[int]:
        return list(range(0, num_frames, self.stride))


def read_all(items: list[Item], request: StridedRequest, decoders: int, timeout_s: float) -> Iterator[np.ndarray]:
    """The strided frames (F, H, W, 3) uint8 of each video in turn; ValueError naming the first that is unreadable."""
    with DecodePool(decoders, timeout_s) as pool:
        for item, found in pool.read((item, item.file, request) for item in items):
            if isinstance(found, Unreadable):
                raise ValueError(f"cannot read {item.path}: {found}")
            yield found.frames


def random_clip(frames: np.ndarray, count: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """`count` successive frames from a random start, cropped to side² at a random place: (count, side, side, 3).

    A video of fewer frames repeats its last one (protocol: training clips of Kinetics).
    """
    start, top, left = (int(rng.integers(room + 1)) for room in _room(frames, count, side))
    return _cut(frames, count, side, start, top, left)


def central_clip(frames: np.ndarray, count: int, side: int) -> np.ndarray:
    """The clip and crop in the middle, (count, side, side, 3): the one view of the grid 1x1 (protocol: evaluation)."""
    start, top, left = (room // 2 for room in _room(frames, count, side))
    return _cut(frames, count, side, start, top, left)


def _room(frames: np.ndarray, count: int, side: int) -> tuple[int, int, int]:
    """How far a clip may start from the first frame, the top and the left."""
    length, height, width = frames.shape[:3]
    return max(length - count, 0), height - side, width - side


def _cut(frames: np.ndarray, count: int, side: int, start: int, top: int, left: int) -> np.ndarray:
    rows = np.minimum(np.arange(start, start + count), len(frames) - 1)
    return frames[rows, top : top + side, left : left + side]
