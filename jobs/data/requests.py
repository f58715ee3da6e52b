"""What to read of a video, and what was read."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from jobs.data.views import frames_needed, resized
from jobs.spec.sampling import Sampling


class Request(Protocol):
    """What to read of a video."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width to which frames are resized."""

    def numbers(self, num_frames: int) -> list[int]:
        """The frames wanted of a video of `num_frames` frames, sorted, without repeats."""


@dataclass(frozen=True)
class ClipRequest:
    """The frames of every clip of the view grids, such as ("2x3", "16x3")."""

    sampling: Sampling
    grids: tuple[str, ...]
    short_side: int
    """Pixels of the shorter side after resizing."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        return resized(self.sampling, height, width, self.short_side)

    def numbers(self, num_frames: int) -> list[int]:
        return frames_needed(self.sampling, num_frames, self.grids)


@dataclass
class Video:
    """What was read of a video."""

    num_frames: int
    """Frames that the video shows, read or not."""
    numbers: np.ndarray
    """(F,) the frames read, ascending."""
    frames: np.ndarray
    """(F, H, W, 3) uint8 RGB, resized."""
    decoder: str
    """PyAV or decord."""
    passes: int = 1
    """How often the file was decoded; twice where its container lists more frames than it shows."""
