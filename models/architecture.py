"""What a model says of itself without being made: its clips, its grids of tokens, its costs. Imports no torch.

A family is a subclass; `models/catalog.py` has ours. Planning, estimates, sampling and figures need nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar


@dataclass(frozen=True)
class Level:
    """Consecutive blocks that work on one grid of tokens."""

    dim: int
    """Embedding width C."""
    depth: int
    """Number of blocks."""
    heads: int
    """Attention heads; each is dim / heads wide."""


@dataclass(frozen=True)
class Architecture:
    """A video transformer. A clip is cut into tubelets, which make a grid of tokens for each time slot; from level to
    level the sides of the grid halve."""

    levels: tuple[Level, ...]
    image: int = 224
    """Side of a frame, in pixels."""
    patch: int = 16
    """Side of a patch, in pixels."""
    frames: int = 16
    """Frames of a clip."""
    tubelet: int = 2
    """Frames that one token spans."""
    num_classes: int = 400
    """Classes of the head unless the dataset says otherwise (Kinetics-400)."""
    stride: int = 4
    """Every how many frames of a video a clip takes one, unless the dataset says otherwise."""
    sampling: str = "videomae"
    """Whose way of taking views its published weights were tested with: a name in jobs/spec/sampling.py."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """By which frames are normalised, of RGB from 0 to 1; ImageNet's."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    made_by: ClassVar[str] = ""
    """Module and class of its network, as `models.vit:VisionTransformer`."""
    on_grid: ClassVar[bool] = False
    """Whether tokens keep their places on a grid through all blocks. A reduction then can only choose which of each
    slot's tokens stay (`Staged`), before the blocks that `reducing` names."""
    new: ClassVar[tuple[str, ...]] = ("head",)
    """Parameters that a training starts afresh, by their beginnings, unless the profile says otherwise (train.new)."""
    unused: ClassVar[tuple[str, ...]] = ()
    """Parameters of pre-trained weights that the model has no use for, in the same way (train.unused)."""

    @cached_property
    def depth(self) -> int:
        """Transformer blocks in all."""
        return sum(level.depth for level in self.levels)

    @property
    def slots(self) -> int:
        """Time slots T."""
        return self.frames // self.tubelet

    @property
    def tokens_per_slot(self) -> int:
        """Tokens N of one time slot, before the first block."""
        return self.side(1) ** 2

    @property
    def head_width(self) -> int:
        """Width D of an attention head, the same in all blocks."""
        return self.levels[0].dim // self.levels[0].heads

    def side(self, level: int) -> int:
        """Tokens across a slot's grid, and down, in a level, counted from 1."""
        return -(-self.image // self.patch // 2 ** (level - 1))

    @cached_property
    def starts(self) -> dict[int, int]:
        """Of each level's first block, counted from 1, the tokens of a clip that it finds where none is dropped."""
        found, block = {}, 1
        for number, level in enumerate(self.levels, 1):
            found[block] = self.slots * self.side(number) ** 2
            block += level.depth
        return found

    def level_of(self, block: int) -> int:
        """The level, counted from 1, of a block."""
        return sum(start <= block for start in self.starts)

    @property
    def reducing(self) -> tuple[int, ...]:
        """On a grid, the blocks, counted from 1, before which a stage of a reduction runs."""
        return ()

    def dropped(self, r: int, stage: int) -> int:
        """How many tokens of each slot a stage, counted from 1, drops of a reduction whose setting is `r`."""
        return r

    @property
    def shape(self) -> str:
        """In a few words: width, blocks and heads, and the clips that it takes."""
        dims, depths, heads = ("-".join(map(str, one)) for one in zip(*map(_numbers, self.levels), strict=True))
        number = "1 head" if heads == "1" else f"{heads} heads"
        return f"{dims} wide, {depths} blocks, {number}, clips of {self.frames} × {self.image}²"

    def parameters(self, num_classes: int) -> int:
        """How many weights the model has, a head of `num_classes` classes included."""
        raise NotImplementedError

    def multiply_adds(self, tokens: Sequence[tuple[int, int]]) -> int:
        """What one clip costs, as models/flops.py counts, where attention and MLP of each block work on so many tokens;
        a reduction's own products come on top."""
        raise NotImplementedError

    def network(self, num_classes: int) -> Any:
        """The model itself, a `VideoModel`, randomly initialised. Loads torch."""
        module, _, name = self.made_by.partition(":")
        return getattr(import_module(module), name)(self, num_classes)

    def faults(self) -> list[str]:
        """What of its numbers makes no model."""
        found = [] if self.made_by or type(self).network is not Architecture.network else ["no network (made_by)"]
        found += [
            f"{what} = {whole} is no multiple of {part} = {getattr(self, part)}"
            for what, whole, part in (("image", self.image, "patch"), ("frames", self.frames, "tubelet"))
            if whole < 1 or getattr(self, part) < 1 or whole % getattr(self, part)
        ]
        found += [
            f"dim = {level.dim} is no multiple of heads = {level.heads}"
            for level in self.levels
            if level.dim < 1 or level.heads < 1 or level.dim % level.heads
        ]
        if not self.levels or any(level.depth < 1 for level in self.levels) or self.num_classes < 1:
            found.append("depth and num_classes must be at least 1")
        return found


def _numbers(level: Level) -> tuple[int, int, int]:
    return level.dim, level.depth, level.heads
