"""The architectures by name: two families and their sizes. Imports no torch: planning a sweep needs only these numbers.

A further family is a subclass of `Architecture` and entries here, and a file in models/ that has its network.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

from models.architecture import Architecture, Level
from models.plugin_code import Misuse


@dataclass(frozen=True)
class ViT(Architecture):
    """A ViT as VideoMAE fine-tunes it: all tokens of a clip are one sequence, from the first block to the last."""

    made_by: ClassVar[str] = "models.vit:VisionTransformer"
    # VideoMAE's mean pooling starts the last norm and the head untrained. Of a pre-trained file, its decoder and the
    # encoder's last norm have no use.
    new: ClassVar[tuple[str, ...]] = ("fc_norm", "head")
    unused: ClassVar[tuple[str, ...]] = ("decoder", "encoder_to_decoder", "mask_token", "norm")

    @classmethod
    def of(cls, dim: int, depth: int, heads: int, **settings: Any) -> Self:
        """A ViT of `depth` blocks."""
        return cls((Level(dim, depth, heads),), **settings)

    def faults(self) -> list[str]:
        return super().faults() + ["a ViT has one level"] * (len(self.levels) != 1)

    @property
    def dim(self) -> int:
        """Embedding width C."""
        return self.levels[0].dim

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.levels[0].heads

    @property
    def _inputs(self) -> int:
        """Numbers that one token is made of."""
        return 3 * self.tubelet * self.patch**2

    def parameters(self, num_classes: int) -> int:
        c = self.dim
        return (self._inputs + 1) * c + self.depth * (12 * c**2 + 12 * c) + 2 * c + (c + 1) * num_classes

    def multiply_adds(self, tokens: Sequence[tuple[int, int]]) -> int:
        n, c = self.slots * self.tokens_per_slot, self.dim
        blocks = sum(4 * a * c**2 + 2 * a**2 * c + 5 * a * c + 8 * m * c**2 + 5 * m * c for a, m in tokens)
        return n * self._inputs * c + blocks + 5 * c + c * self.num_classes


@dataclass(frozen=True)
class VideoSwin(Architecture):
    """A Video Swin Transformer (Liu et al., CVPR 2022): attention in windows, 2 × 2 patches merged between levels.

    Reductions on it follow STA's paper (Ding et al., ICCV 2023), whose code for it was not published; models/swin.py
    says what is open there, and how it is decided here.
    """

    patch: int = 4
    frames: int = 32
    stride: int = 2
    sampling: str = "video_swin"
    window: tuple[int, int, int] = (8, 7, 7)
    """Slots, rows and columns of a window."""

    made_by: ClassVar[str] = "models.swin:SwinTransformer"
    on_grid: ClassVar[bool] = True

    @classmethod
    def of(cls, dim: int, depths: tuple[int, ...], heads: tuple[int, ...], **settings: Any) -> Self:
        """A Swin whose first level is `dim` wide; the width doubles from level to level."""
        if len(depths) != len(heads):
            raise Misuse(f"{len(depths)} depths and {len(heads)} numbers of heads; one of each a level is needed")
        sizes = zip(depths, heads, strict=True)
        return cls(tuple(Level(dim * 2**k, depth, number) for k, (depth, number) in enumerate(sizes)), **settings)

    @property
    def reducing(self) -> tuple[int, ...]:
        return tuple(self.starts)[1:]

    def dropped(self, r: int, stage: int) -> int:
        # r, 1.5·r/4 and 2·r/16 of STA's paper; open: rounded down, and a further stage in the same way.
        return r * (stage + 1) // (2 * 4 ** (stage - 1))

    @property
    def shape(self) -> str:
        return f"{super().shape}, windows of {' × '.join(map(str, self.window))}"

    def grid(self, level: int) -> tuple[int, int, int]:
        """Slots, rows and columns of a level, counted from 1."""
        return self.slots, self.side(level), self.side(level)

    @property
    def positions(self) -> int:
        """Relative positions in a window: the rows of a block's table of biases."""
        t, h, w = self.window
        return (2 * t - 1) * (2 * h - 1) * (2 * w - 1)

    def parameters(self, num_classes: int) -> int:
        first, last = self.levels[0].dim, self.levels[-1].dim
        total = (3 * self.tubelet * self.patch**2 + 3) * first + 2 * last + (last + 1) * num_classes
        for level in self.levels:
            c = level.dim
            total += level.depth * (12 * c**2 + 13 * c + self.positions * level.heads)
        return total + sum(8 * level.dim**2 + 8 * level.dim for level in self.levels[:-1])

    def multiply_adds(self, tokens: Sequence[tuple[int, int]]) -> int:
        first, last = self.levels[0].dim, self.levels[-1].dim
        total = (3 * self.tubelet * self.patch**2 + 5) * self.slots * self.tokens_per_slot * first
        counts = iter(tokens)
        for number, level in enumerate(self.levels, 1):
            c, grid = level.dim, self.grid(number)
            if number > 1:
                total += grid[0] * grid[1] * grid[2] * (10 * c + 2 * c**2)  # of 4 × c / 2 numbers, merged into c
            inside = positions = 1
            for length, most in zip(grid, self.window, strict=True):
                side = min(length, most)
                inside, positions = inside * side, positions * -(-length // side) * side
            for _ in range(level.depth):
                a, m = next(counts)
                # Both products of attention run at all positions of all windows, the linear layers on what is left.
                total += 4 * a * c**2 + 2 * positions * inside * c + 5 * a * c + 8 * m * c**2 + 5 * m * c
        return total + 5 * tokens[-1][1] * last + last * self.num_classes

    def faults(self) -> list[str]:
        found = super().faults()
        if len(self.window) != 3 or min(self.window) < 1:
            found.append(f"window = {self.window}: three sides, of slots, rows and columns, of at least 1 are needed")
        if any(after.dim != 2 * before.dim for before, after in pairwise(self.levels)):
            found.append("the width must double from level to level")
        return found


_SWINS = {
    "swin3d_t": VideoSwin.of(96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "swin3d_s": VideoSwin.of(96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "swin3d_b": VideoSwin.of(128, (2, 2, 18, 2), (4, 8, 16, 32)),
}

ARCHITECTURES: dict[str, Architecture] = {
    "vit_small": ViT.of(384, 12, 6),
    "vit_base": ViT.of(768, 12, 12),
    "vit_large": ViT.of(1024, 24, 16),
    "vit_huge": ViT.of(1280, 32, 16),
    # 8 slots of 7 × 7 tokens: a quarter of a ViT's 14 × 14, so that r / 4 drops the paper's fractions.
    "vit_demo": ViT.of(40, 12, 1, image=56, patch=8, num_classes=16),
    **_SWINS,
    **{f"{name}_w16": replace(arch, window=(16, 7, 7)) for name, arch in _SWINS.items()},
    # 8 slots of 28 × 28 tokens: a quarter of the others', so that r1 / 4 drops the paper's fractions at stages 1 and 2;
    # at stage 3 it drops fewer, as 7 × 7 tokens are merged into 4 × 4.
    "swin_demo": VideoSwin.of(16, (2, 2, 2, 2), (1, 2, 4, 8), image=56, patch=2, frames=16, stride=4, num_classes=16),
}


def architecture(name: str) -> Architecture:
    """The architecture called `name`; ValueError listing the valid names otherwise."""
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown model {name!r}; valid models: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def register_model(name: str, arch: Architecture) -> None:
    """Enter an architecture of one's own; Misuse where the name is taken or the numbers make no model."""
    if name in ARCHITECTURES:
        raise Misuse(f"{name!r} is the name of a model that there is; give yours another")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", name):
        raise Misuse(f"{name!r} cannot be the name of a model: letters, digits, - and _, a letter first")
    if not isinstance(arch, Architecture) or type(arch) is Architecture:
        raise Misuse(f"model {name}: give a ViT, a VideoSwin, or a family of your own, not {arch!r:.60}")
    if faults := arch.faults():
        raise Misuse(f"model {name}: {'; '.join(faults)}")
    ARCHITECTURES[name] = arch
