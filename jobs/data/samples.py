"""Training samples: augmented clips of one video, which is decoded once for all of them (repeated augmentation).

Everything random about a clip comes from its own seeds, so that it has the same bytes whichever process makes it, when,
and beside whatever other samples. Runs in the decoders of pool.py.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from jobs.data.augment import augmented, erased, rand_augment
from jobs.data.reader import read_spans
from jobs.data.views import resized
from jobs.spec.recipe import Recipe
from jobs.spec.sampling import Sampling

_TRIES = 10
"""How often a crop is drawn before the largest central one is taken (VideoMAE)."""


@dataclass(frozen=True)
class SampleRequest:
    """The augmented clips wanted of a video."""

    seeds: tuple[tuple[int, ...], ...]
    """All that is random about each clip; (seed, epoch, video, copy), say."""
    sampling: Sampling
    side: int
    """Pixels of a clip's sides."""
    short_side: int
    """Pixels of the shorter side of the frames that crops are cut from."""
    crop_scale: float
    """Least share of the frame's area that a crop covers."""
    crop_ratio: float
    """Most that a crop's sides differ by, as a factor."""
    randaugment: str
    """timm's description; empty: none."""
    flip: float
    """Probability that a clip is mirrored."""
    erasing: float
    """Probability that a box of a clip is erased."""
    branches: int
    """How many numbers in [0, 1) are wanted for stochastic depth."""

    @classmethod
    def by(
        cls,
        recipe: Recipe,
        *,
        seeds: tuple[tuple[int, ...], ...],
        sampling: Sampling,
        side: int,
        branches: int,
    ) -> Self:
        """Clips augmented as `recipe` says."""
        return cls(
            seeds=seeds,
            sampling=sampling,
            side=side,
            short_side=recipe.short_side,
            crop_scale=recipe.crop_scale,
            crop_ratio=recipe.crop_ratio,
            randaugment=recipe.randaugment,
            flip=recipe.flip,
            erasing=recipe.erasing,
            branches=branches,
        )

    def __post_init__(self) -> None:
        if self.randaugment:
            rand_augment(self.randaugment, self.side)  # raises here rather than for every video

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width to which frames are resized."""
        return resized(self.sampling, height, width, self.short_side)

    def numbers(self, num_frames: int) -> list[int]:
        """The frames that any of the clips takes of a video of `num_frames` frames, sorted."""
        return sorted({number for seeds in self.seeds for number in self.draw(seeds, num_frames).numbers})

    def draw(self, seeds: tuple[int, ...], num_frames: int) -> "Draw":
        """Begin a clip with these seeds; the same again whenever asked."""
        rng = np.random.default_rng(seeds)
        branches = rng.random(self.branches, np.float32)
        return Draw(branches, self.sampling.random_clip(num_frames, rng), rng)


@dataclass
class Draw:
    """What is random about a clip: what must be known before its video is decoded, and where the rest comes from."""

    branches: np.ndarray
    numbers: tuple[int, ...]
    rng: np.random.Generator


@dataclass
class Samples:
    """The augmented clips of a video, in the order of the seeds."""

    clips: np.ndarray
    """(copies, T, side, side, 3) uint8 RGB."""
    branches: np.ndarray
    """(copies, branches) float32, uniform in [0, 1)."""


def read_samples(file: str, request: SampleRequest) -> Samples:
    """Decode a video once and make all its clips. Raises Unreadable."""
    video = read_spans(file, request)
    draws = [request.draw(seeds, video.num_frames) for seeds in request.seeds]
    clips = [_clip(video.frames[np.searchsorted(video.numbers, draw.numbers)], request, draw.rng) for draw in draws]
    return Samples(np.stack(clips), np.stack([draw.branches for draw in draws]))


def _clip(frames: np.ndarray, request: SampleRequest, rng: np.random.Generator) -> np.ndarray:
    """The augmented clip of whole frames (T, H, W, 3); what it draws does not depend on which augmentations are on."""
    top, left, height, width = random_crop(frames.shape[1:3], request.crop_scale, request.crop_ratio, rng)
    flipped = rng.random() < request.flip
    operations, erasing = (int(seed) for seed in rng.integers(2**32, size=2))
    clip = _resized(frames[:, top : top + height, left : left + width], request.side, flipped)
    if request.randaugment:
        clip = augmented(clip, request.randaugment, operations)
    if request.erasing > 0:
        clip = erased(clip, request.erasing, erasing)
    return clip


def random_crop(
    size: tuple[int, int], scale: float, ratio: float, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Top, left, height and width of a crop of a frame whose height and width are `size`.

    Its area is a share of the frame's, uniform in [scale, 1], and its aspect ratio log-uniform in [1/ratio, ratio], to
    the rounding of its sides. Where ten such do not fit the frame, the largest central crop of a ratio within those
    bounds is taken (VideoMAE).
    """
    height, width = size
    for _ in range(_TRIES):
        area = rng.uniform(scale, 1) * height * width
        aspect = math.exp(rng.uniform(-math.log(ratio), math.log(ratio)))
        tall, wide = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < tall <= height and 0 < wide <= width:
            return int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1)), tall, wide
    tall, wide = min(height, round(width * ratio)), min(width, round(height * ratio))
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def _resized(frames: np.ndarray, side: int, mirrored: bool) -> np.ndarray:
    import cv2  # only where it is used, as in the decoders

    clip = np.empty((len(frames), side, side, 3), np.uint8)
    for taken, frame in zip(clip, frames, strict=True):
        small = cv2.resize(frame, (side, side), dst=None if mirrored else taken, interpolation=cv2.INTER_LINEAR)
        if mirrored:
            cv2.flip(small, 1, dst=taken)
    return clip
