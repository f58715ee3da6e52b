"""What a figure shows of one clip: its frames, and for each stage the patches that were kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.catalog import Architecture
from models.tracing import Stage

WHITE = 255


@dataclass(frozen=True)
class ShownStage:
    """One stage, on the patches of the clip before anything was dropped."""

    block: int
    """The block, counted from 1, after which it ran."""
    kept: np.ndarray
    """(slots, patches) bool."""
    maps: dict[str, np.ndarray]
    """(slots, patches) in [0, 1], from the lowest to the highest value among the tokens that competed with each other;
    not a number where a token was dropped before, or has no value."""


@dataclass(frozen=True)
class Shown:
    """One clip. Its frames are squares of a side that is a multiple of `columns`."""

    video: str
    model: str
    reduction: str
    columns: int
    """Patches across a frame, and down."""
    slots: int
    """Time slots of the clip."""
    numbers: Sequence[int]
    """The frames' numbers in the video."""
    frames: np.ndarray
    """(F, side, side, 3) uint8."""
    stages: Sequence[ShownStage]

    @property
    def tubelet(self) -> int:
        """Frames that one slot spans."""
        return len(self.frames) // self.slots

    def in_pixels(self, patches: np.ndarray) -> np.ndarray:
        """Values of patches, (slots, patches), as those of a frame's pixels, (slots, side, side)."""
        size = self.frames.shape[1] // self.columns
        return patches.reshape(self.slots, self.columns, self.columns).repeat(size, axis=1).repeat(size, axis=2)


def shown_stages(stages: Sequence[Stage], arch: Architecture) -> list[ShownStage]:
    """What there is to show of the stages that were traced on a single clip."""
    return [_shown_stage(stage, arch) for stage in stages]


def whiten(shown: Shown, stage: ShownStage) -> np.ndarray:
    """The frames (F, side, side, 3) with the patches of dropped tokens in white."""
    pixels = shown.in_pixels(stage.kept).repeat(shown.tubelet, axis=0)
    return np.where(pixels[..., None], shown.frames, np.uint8(WHITE))


def _shown_stage(stage: Stage, arch: Architecture) -> ShownStage:
    shape = arch.slots, arch.tokens_per_slot
    kept = (stage.after[0] >= 0).cpu().numpy()
    seen, maps = stage.seen().cpu().numpy(), {}
    for name, values in stage.maps.items():
        picture = np.full(kept.shape, np.nan)
        picture[seen] = _spread(values[0].float().cpu().numpy()[seen].reshape(stage.slots, -1)).reshape(-1)
        maps[name] = picture.reshape(shape)
    return ShownStage(stage.block, kept.reshape(shape), maps)


def _spread(values: np.ndarray) -> np.ndarray:
    """(slots, N) with each slot's lowest value at 0 and its highest at 1; what has no value stays without."""
    low, high = (take.reduce(values, axis=1, keepdims=True) for take in (np.fmin, np.fmax))
    return (values - low) / np.maximum(high - low, np.finfo(np.float32).tiny)
