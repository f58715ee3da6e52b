"""Which frames and which crops the views of a video take.

Protocol: K temporal clips times S spatial crops, written "5x3". "kinetics" is dense sampling, every `stride`-th frame
of the whole video; "ssv2" spreads each clip over the whole video. One clip or one crop means the central one.
All places are computed in whole numbers, so they are exactly the floors that the protocol asks for. Training takes one
clip at random, after the same two samplings.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jobs.spec.cells import parse_views

SAMPLINGS = ("kinetics", "ssv2")


@dataclass(frozen=True)
class View:
    """One clip and one crop of a video: frame numbers, and pixels from the start of the longer side."""

    frames: tuple[int, ...]
    offset: int


def views_of(
    sampling: str, num_frames: int, height: int, width: int, grid: str, crop: int, frames: int = 16, stride: int = 4
) -> list[View]:
    """The K·S views of a resized video of `num_frames` frames, height × width, all crops of a clip together."""
    clips, crops = parse_views(grid)
    offsets = crop_offsets(max(height, width), crop, crops)
    return [
        View(numbers, offset)
        for numbers in clip_frames(sampling, num_frames, clips, frames, stride)
        for offset in offsets
    ]


def distinct_views(
    sampling: str,
    num_frames: int,
    height: int,
    width: int,
    grids: Iterable[str],
    crop: int,
    frames: int = 16,
    stride: int = 4,
) -> tuple[list[View], dict[str, list[int]]]:
    """The distinct views of a resized video under all `grids`, and for each grid which of them make it up."""
    number: dict[View, int] = {}
    members = {}
    for grid in grids:
        views = views_of(sampling, num_frames, height, width, grid, crop, frames, stride)
        members[grid] = [number.setdefault(view, len(number)) for view in views]
    return list(number), members


def frames_needed(sampling: str, num_frames: int, grids: Iterable[str], frames: int = 16, stride: int = 4) -> list[int]:
    """The sorted frame numbers that the clips of all `grids` take."""
    clip_counts = {parse_views(grid)[0] for grid in grids}
    return sorted(
        {
            number
            for clips in clip_counts
            for clip in clip_frames(sampling, num_frames, clips, frames, stride)
            for number in clip
        }
    )


def clip_frames(sampling: str, num_frames: int, clips: int, frames: int = 16, stride: int = 4) -> list[tuple[int, ...]]:
    """The frame numbers, `frames` each, of the `clips` clips of a video of `num_frames` frames.

    kinetics: of L strided frames, clip k of K starts at int(k · max(L − frames, 0)/(K − 1)), and a shorter video
    repeats its last strided frame. ssv2: with tick = num_frames/frames, clip k of K takes int(tick·i + tick·k/K),
    for two clips the protocol's pair; the central one takes int(tick·i + tick/2). ssv2 has no use for `stride`.
    """
    _check(sampling, num_frames)
    if sampling == "ssv2":
        parts, first = (2, 1) if clips == 1 else (clips, 0)  # each clip lies `first + k` parts of a tick in
        return [
            tuple((parts * i + first + k) * num_frames // (parts * frames) for i in range(frames)) for k in range(clips)
        ]
    strided = range(0, num_frames, stride)
    return [_from(strided, start, frames) for start in _spread(max(len(strided) - frames, 0), clips)]


def training_frames(
    sampling: str, num_frames: int, frames: int, stride: int, rng: np.random.Generator
) -> tuple[int, ...]:
    """The frame numbers, `frames` of them, of a random clip of a video of `num_frames` frames.

    Protocol, "Training clips". kinetics: consecutive strided frames from a random start, a shorter video repeats its
    last strided frame. ssv2: a random frame of each of `frames` segments, whose bounds are rounded down and which take
    one frame at least.
    """
    _check(sampling, num_frames)
    if sampling == "ssv2":
        bounds = [i * num_frames // frames for i in range(frames + 1)]
        return tuple(int(rng.integers(low, max(high, low + 1))) for low, high in pairwise(bounds))
    strided = range(0, num_frames, stride)
    return _from(strided, int(rng.integers(max(len(strided) - frames, 0) + 1)), frames)


def _from(strided: range, start: int, frames: int) -> tuple[int, ...]:
    """`frames` of the `strided` frames from number `start` on; the last one again where they run out."""
    return tuple(strided[min(start + i, len(strided) - 1)] for i in range(frames))


def crop_offsets(long_side: int, crop: int, crops: int) -> list[int]:
    """Where crops of `crop` pixels start along a side of `long_side`: crop j of S at int(j·(long − crop)/(S − 1))."""
    if long_side < crop:
        raise ValueError(f"a crop of {crop} pixels does not fit a side of {long_side}")
    return _spread(long_side - crop, crops)


def _spread(room: int, count: int) -> list[int]:
    """`count` starts from 0 to `room`, evenly spread and rounded down; the middle for one."""
    if count < 1:
        raise ValueError(f"at least one clip and one crop are needed, not {count}")
    return [room // 2] if count == 1 else [k * room // (count - 1) for k in range(count)]


def _check(sampling: str, num_frames: int) -> None:
    if sampling not in SAMPLINGS:
        raise ValueError(f"unknown sampling {sampling!r}: choose from {', '.join(SAMPLINGS)}")
    if num_frames < 1:
        raise ValueError("a video without frames has no clips")
