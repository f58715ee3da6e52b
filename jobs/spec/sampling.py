"""Which frames the clips of a video take, and how frames are resized and cropped: as a model's published weights were
tested.

A data set is sampled densely ("kinetics", every `stride`-th frame of a span) or in segments ("ssv2", each clip spread
over the whole video). Whose way of doing so counts, an architecture says (`Architecture.sampling`); a further way is a
class here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np

DATASETS = ("kinetics", "ssv2")


@dataclass(frozen=True)
class Sampling(ABC):
    """How clips of `frames` frames are taken."""

    dataset: str
    """`kinetics` or `ssv2`."""
    frames: int
    stride: int
    """Every how many frames one is taken; dense sampling only."""

    most_segmented: ClassVar[int | None] = None
    """The most clips that are taken in segments; None: any number."""

    def __post_init__(self) -> None:
        if self.dataset not in DATASETS:
            raise ValueError(f"unknown sampling {self.dataset!r}: choose from {', '.join(DATASETS)}")

    def check(self, clips: int) -> None:
        """ValueError where it is not defined how so many clips are taken."""
        most = self.most_segmented
        if self.dataset == "ssv2" and most and clips > most:
            raise ValueError(f"{clips} clips of a video sampled as ssv2: this model's protocol has {most} there")

    def clips(self, num_frames: int, clips: int) -> list[tuple[int, ...]]:
        """The frame numbers of the `clips` clips of a video of `num_frames` frames."""
        _check(num_frames)
        if clips < 1:
            raise ValueError(f"at least one clip is needed, not {clips}")
        self.check(clips)
        return self._dense(num_frames, clips) if self.dataset == "kinetics" else self._segments(num_frames, clips)

    def random_clip(self, num_frames: int, rng: np.random.Generator) -> tuple[int, ...]:
        """The frame numbers of a clip for training."""
        _check(num_frames)
        dense = self.dataset == "kinetics"
        return self._random_dense(num_frames, rng) if dense else self._random_segments(num_frames, rng)

    @abstractmethod
    def long_side(self, long: int, short: int, side: int) -> int:
        """Pixels of the longer side of a frame whose shorter side is resized to `side`."""

    @abstractmethod
    def offsets(self, room: int, crops: int) -> list[int]:
        """Where `crops` crops start along a side that is `room` pixels longer than they are; the middle for one."""

    @abstractmethod
    def _dense(self, num_frames: int, clips: int) -> list[tuple[int, ...]]: ...

    @abstractmethod
    def _segments(self, num_frames: int, clips: int) -> list[tuple[int, ...]]: ...

    @abstractmethod
    def _random_dense(self, num_frames: int, rng: np.random.Generator) -> tuple[int, ...]: ...

    @abstractmethod
    def _random_segments(self, num_frames: int, rng: np.random.Generator) -> tuple[int, ...]: ...


class VideoMAESampling(Sampling):
    """VideoMAE's (protocol: section "Evaluation"). Places are computed in whole numbers, so they are exact floors.

    Dense: of the L strided frames of the whole video, clip k of K starts at int(k · max(L − frames, 0)/(K − 1)), one
    clip in the middle; a shorter video repeats its last strided frame. Segments: with tick = num_frames/frames, clip k
    of K takes int(tick·i + tick·k/K), for two clips the protocol's pair; the central one takes int(tick·i + tick/2).
    """

    def long_side(self, long: int, short: int, side: int) -> int:
        return long * side // short

    def offsets(self, room: int, crops: int) -> list[int]:
        return _spread(room, crops)

    def _dense(self, num_frames: int, clips: int) -> list[tuple[int, ...]]:
        strided = range(0, num_frames, self.stride)
        return [self._from(strided, start) for start in _spread(max(len(strided) - self.frames, 0), clips)]

    def _segments(self, num_frames: int, clips: int) -> list[tuple[int, ...]]:
        parts, first = (2, 1) if clips == 1 else (clips, 0)  # each clip lies `first + k` parts of a tick in
        return [
            tuple((parts * i + first + k) * num_frames // (parts * self.frames) for i in range(self.frames))
            for k in range(clips)
        ]

    def _random_dense(self, num_frames: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Consecutive strided frames from a random one."""
        strided = range(0, num_frames, self.stride)
        return self._from(strided, int(rng.integers(max(len(strided) - self.frames, 0) + 1)))

    def _random_segments(self, num_frames: int, rng: np.random.Generator) -> tuple[int, ...]:
        """A random frame of each of `frames` segments, whose bounds are rounded down and which take one at least."""
        bounds = [i * num_frames // self.frames for i in range(self.frames + 1)]
        return tuple(int(rng.integers(low, max(high, low + 1))) for low, high in pairwise(bounds))

    def _from(self, strided: range, start: int) -> tuple[int, ...]:
        """The `strided` frames from number `start` on; the last one again where they run out."""
        return tuple(strided[min(start + i, len(strided) - 1)] for i in range(self.frames))


class VideoSwinSampling(Sampling):
    """The Video Swin Transformer's; places in time in floating point, as its code has them.

    Dense: of num_frames frames, with a span of frames · stride and gap = (num_frames − span + 1)/K, clip k of K starts
    at int(k·gap + gap/2), or at 0 where the video is shorter than the span; frames past the end wrap around. Segments:
    one clip, which takes (round(seg·i) + round(seg·(i + 1)))//2 with seg = (num_frames − 1)/frames, halves to even.
    The longer side of a frame is rounded half up, and crops are whole steps apart.
    """

    most_segmented: ClassVar[int | None] = 1

    def long_side(self, long: int, short: int, side: int) -> int:
        return (2 * long * side + short) // (2 * short)

    def offsets(self, room: int, crops: int) -> list[int]:
        if crops < 1:
            raise ValueError(f"at least one crop is needed, not {crops}")
        return [room // 2] if crops == 1 else [k * (room // (crops - 1)) for k in range(crops)]

    def _dense(self, num_frames: int, clips: int) -> list[tuple[int, ...]]:
        room = num_frames - self.frames * self.stride
        gap = (room + 1) / clips if room >= 0 else 0.0
        return [self._from(num_frames, int(k * gap + gap / 2)) for k in range(clips)]

    def _segments(self, num_frames: int, clips: int) -> list[tuple[int, ...]]:
        return [tuple((low + high) // 2 for low, high in pairwise(self._bounds(num_frames)))]

    def _random_dense(self, num_frames: int, rng: np.random.Generator) -> tuple[int, ...]:
        """A span from a random frame."""
        return self._from(num_frames, int(rng.integers(max(num_frames - self.frames * self.stride, 0) + 1)))

    def _random_segments(self, num_frames: int, rng: np.random.Generator) -> tuple[int, ...]:
        """A random frame between the bounds of each segment, both included."""
        return tuple(int(rng.integers(low, high + 1)) for low, high in pairwise(self._bounds(num_frames)))

    def _bounds(self, num_frames: int) -> list[int]:
        segment = (num_frames - 1) / self.frames
        return [round(segment * i) for i in range(self.frames + 1)]

    def _from(self, num_frames: int, start: int) -> tuple[int, ...]:
        return tuple((start + i * self.stride) % num_frames for i in range(self.frames))


_WAYS: dict[str, type[Sampling]] = {"videomae": VideoMAESampling, "video_swin": VideoSwinSampling}


def sampling(way: str, dataset: str, frames: int, stride: int) -> Sampling:
    """How a model that is tested in one of the `_WAYS` takes clips of a data set; ValueError where there is none."""
    if way not in _WAYS:
        raise ValueError(f"unknown way of taking views {way!r}; valid: {', '.join(_WAYS)}")
    return _WAYS[way](dataset, frames, stride)


def _spread(room: int, count: int) -> list[int]:
    """`count` starts from 0 to `room`, evenly spread and rounded down; the middle for one."""
    if count < 1:
        raise ValueError(f"at least one clip and one crop are needed, not {count}")
    return [room // 2] if count == 1 else [k * room // (count - 1) for k in range(count)]


def _check(num_frames: int) -> None:
    if num_frames < 1:
        raise ValueError("a video without frames has no clips")
