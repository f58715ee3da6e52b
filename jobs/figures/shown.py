"""What a figure shows of one clip: its frames, and for each stage the patches whose tokens are left, or merged."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.architecture import Architecture
from models.tracing import Stage

WHITE, EDGE = 255, 20
"""Of patches that were dropped, and of the lines between those of merged tokens and others."""
MOST_STAGES = 4
"""Stages that are shown, evenly spaced to the last; kept.npz has all."""
WHERE = {"before": "before block", "between": "in block", "after": "after block"}


@dataclass(frozen=True)
class ShownStage:
    """One stage, on the patches of the clip before anything was dropped."""

    number: int
    """Counted from 1."""
    where: str
    """As `after block 5`."""
    block: int
    left: int
    """Tokens that it left."""
    span: int
    """Patches across a position; 1 but where positions were merged, on a grid, before the stage."""
    held: np.ndarray
    """(slots, positions) for each the token that holds it, positions of merged tokens the same one; −1: dropped."""
    maps: dict[str, np.ndarray]
    """(slots, positions) in [0, 1], from the lowest to the highest value among the tokens that competed with each
    other; not a number where a token was dropped before, or has no value."""

    @property
    def kept(self) -> np.ndarray:
        """(slots, positions) bool."""
        return self.held >= 0

    @property
    def groups(self) -> np.ndarray:
        """(slots, positions) for each of a merged token the number of its group, from 1 on; 0 of all others."""
        tokens, counts = np.unique(self.held[self.kept], return_counts=True)
        number = np.zeros(int(self.held.max()) + 2, int)
        number[tokens[counts > 1]] = np.arange(1, (counts > 1).sum() + 1)
        return number[self.held]  # of −1 the last, which is no token


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

    @property
    def size(self) -> int:
        """Pixels of a patch's side."""
        return self.frames.shape[1] // self.columns

    def in_pixels(self, values: np.ndarray, span: int = 1) -> np.ndarray:
        """Values of positions that are `span` patches across, (slots, positions), as those of a frame's pixels,
        (slots, side, side); what of a position lies beyond the frame is cut off."""
        columns, side, size = math.isqrt(values.shape[1]), self.frames.shape[1], span * self.size
        square = values.reshape(self.slots, columns, columns)
        return square.repeat(size, axis=1).repeat(size, axis=2)[:, :side, :side]

    def colours(self, groups: np.ndarray) -> np.ndarray:
        """(groups + 1, 3) uint8: the mean colour of the patches of each group; the first is of no group."""
        cut = self.frames.reshape(self.slots, self.tubelet, self.columns, self.size, self.columns, self.size, 3)
        mean = cut.mean(axis=(1, 3, 5)).reshape(-1, 3)
        counts = np.bincount(groups.ravel(), minlength=groups.max() + 1)
        sums = np.stack([np.bincount(groups.ravel(), mean[:, c], groups.max() + 1) for c in range(3)], axis=1)
        return (sums / np.maximum(counts, 1)[:, None]).round().astype(np.uint8)


def shown_stages(stages: Sequence[Stage], arch: Architecture) -> list[ShownStage]:
    """What there is to show of the stages that were traced on a single clip."""
    count = min(len(stages), MOST_STAGES)
    chosen = [round((k + 1) * len(stages) / count) for k in range(count)]
    return [_shown_stage(number, stages[number - 1], arch) for number in chosen]


def paint(shown: Shown, stage: ShownStage) -> np.ndarray:
    """The frames (F, side, side, 3) with the patches of dropped tokens in white, and those of each merged token in the
    mean colour of them all, with lines where another token begins."""
    kept = shown.in_pixels(stage.kept, stage.span).repeat(shown.tubelet, axis=0)
    painted = np.where(kept[..., None], shown.frames, np.uint8(WHITE))
    groups = stage.groups
    if not groups.any():
        return painted
    inside = shown.in_pixels(groups)
    colours = shown.colours(groups)[inside].repeat(shown.tubelet, axis=0)
    merged = (inside > 0).repeat(shown.tubelet, axis=0)
    painted = np.where(merged[..., None], colours, painted)
    lines = _lines(shown, stage, groups).repeat(shown.tubelet, axis=0)
    return np.where(lines[..., None], np.uint8(EDGE), painted)


def _lines(shown: Shown, stage: ShownStage, groups: np.ndarray) -> np.ndarray:
    """(slots, side, side) bool: the pixels of merged patches beside a patch of another token."""
    held, width = stage.held.reshape(shown.slots, shown.columns, shown.columns), max(1, shown.size // 16)
    merged = shown.in_pixels(groups) > 0
    lines = np.zeros_like(merged)
    for axis in (1, 2):
        for step in (1, -1):
            beside = np.roll(held, step, axis)
            other = shown.in_pixels((held != beside).reshape(shown.slots, -1))
            place = np.arange(merged.shape[axis]) % shown.size
            near = place < width if step == 1 else place >= shown.size - width
            lines |= merged & other & (near[:, None] if axis == 1 else near[None, :])
    return lines


def _shown_stage(number: int, stage: Stage, arch: Architecture) -> ShownStage:
    shape = arch.slots, -1
    held = stage.after[0].cpu().numpy()
    seen, maps = stage.seen().cpu().numpy(), {}
    for name, values in stage.maps.items():
        picture = np.full(held.shape, np.nan)
        picture[seen] = _spread(values[0].float().cpu().numpy()[seen].reshape(stage.slots, -1)).reshape(-1)
        maps[name] = picture.reshape(shape)
    where = f"{WHERE[stage.place]} {stage.block}"
    return ShownStage(number, where, stage.block, stage.count(), stage.span, held.reshape(shape), maps)


def _spread(values: np.ndarray) -> np.ndarray:
    """(slots, N) with each slot's lowest value at 0 and its highest at 1; what has no value stays without."""
    low, high = (take.reduce(values, axis=1, keepdims=True) for take in (np.fmin, np.fmax))
    return (values - low) / np.maximum(high - low, np.finfo(np.float32).tiny)
