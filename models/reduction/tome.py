"""ToMe: token merging (Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023), without training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from models.architecture import Architecture
from models.reduction._base import Choice, Need, Place, Reduction, Seen, register
from models.reduction._matching import even_to_odd, match, pairs

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@register
@dataclass(frozen=True)
class ToMe(Reduction):
    """In every block merges the r tokens whose keys are most like another's, between attention and MLP."""

    place: ClassVar[Place] = "between"
    needs: ClassVar[tuple[Need, ...]] = ("keys",)
    dial: ClassVar[str] = "r"

    r: int | tuple[int, ...]
    """Tokens merged in each block; of a list, as r=100-50, in the first blocks."""
    decreasing: bool = False
    """From 2r in the first block down to 0 in the last (appendix, "merging schedule")."""
    prop: bool = False
    """Proportional attention: its authors advise it for supervised models, not for MAE's off the shelf."""
    mode: Literal["merge", "drop", "random_merge", "random_drop"] = "merge"
    """drop: what would be merged is dropped; random: by likenesses that are drawn, the same of every clip (Pollard and
    Wray, "Video: How Do Your Tokens Merge?", 2025)."""
    pool: Literal["size", "mean"] = "size"
    """mean: the tokens that are left are pooled by their plain mean, as Pollard and Wray do."""

    @property
    def by_size(self) -> bool:  # type: ignore[override]
        return self.pool == "size"

    @property
    def random(self) -> bool:
        """Whether likenesses are drawn."""
        return self.mode.startswith("random")

    @property
    def near_ties(self) -> bool:  # type: ignore[override]
        return not self.random

    @property
    def drops(self) -> bool:
        """Whether nothing is merged."""
        return self.mode.endswith("drop")

    @property
    def proportional(self) -> bool:
        return self.prop

    def schedule(self, depth: int) -> tuple[int, ...]:
        """The r of each block."""
        if isinstance(self.r, tuple):
            return self.r + (0,) * (depth - len(self.r))
        if not self.decreasing or depth == 1:
            return (self.r,) * depth
        first, step = 2 * self.r, -2 * self.r / (depth - 1)
        return tuple(int(first + step * block) for block in range(depth))

    @classmethod
    def dialled(cls, arch: Architecture) -> Iterable[str]:
        return map(str, range(arch.slots * arch.tokens_per_slot // 2 + 1))

    def stages(self, depth: int) -> tuple[int, ...]:
        return tuple(block for block, r in enumerate(self.schedule(depth), 1) if r)

    def choose(self, seen: Seen) -> Choice | None:
        assert seen.keys is not None
        r = self._merges(seen.keys.shape[1], seen.stage, seen.arch)
        if not r:
            return None
        found = match(drawn(seen) if self.random else even_to_odd(seen.keys), r)
        return Choice(found.kept) if self.drops else found

    def left(self, count: int, stage: int, arch: Architecture) -> int:
        return count - self._merges(count, stage, arch)

    def products(self, count: int, stage: int, arch: Architecture) -> int:
        return 0 if self.random else pairs(count) * arch.head_width

    def check(self, arch: Architecture) -> None:
        if isinstance(self.r, tuple) and self.decreasing:
            raise ValueError(f"{self}: decreasing=1 takes one r, not a list")
        if isinstance(self.r, tuple) and len(self.r) > arch.depth:
            raise ValueError(f"{self}: a list of {len(self.r)} for {arch.depth} blocks")
        for name in ("prop", "pool") if self.drops else ():
            if name in self.settings():
                raise ValueError(f"{self}: {name} has no effect with mode={self.mode}, where no token is merged")

    def fit(self, source: Architecture, target: Architecture) -> tuple[Reduction, str]:
        share = target.slots * target.tokens_per_slot / (source.slots * source.tokens_per_slot)
        if isinstance(self.r, tuple):
            listed = tuple(r * share for r in self.r)
            shorter = replace(self, r=tuple(map(round, listed[: target.depth])))
            return shorter, "" if shorter.r == listed else f"{self} scales to {shorter}, rounded or cut to its blocks"
        exact = self.r * share * source.depth / target.depth
        fitted = replace(self, r=round(exact))
        return fitted, "" if exact == fitted.r else f"r = {self.r} scales to {exact:g}, rounded to {fitted.r}"

    def _merges(self, count: int, stage: int, arch: Architecture) -> int:
        block = self.stages(arch.depth)[stage - 1]
        return min(self.schedule(arch.depth)[block - 1], count // 2)


def drawn(seen: Seen) -> Tensor:
    """(B, ⌈N/2⌉, ⌊N/2⌋): likenesses of the tokens at even positions to those at odd ones, drawn for each block."""
    from models.reduction._constants import constant  # so that a sweep is planned without loading torch

    batch, count = seen.tokens.shape[:2]
    return constant(likenesses, seen.block, count, like=seen.tokens).expand(batch, -1, -1)


def likenesses(block: int, count: int) -> np.ndarray:
    """(⌈N/2⌉, ⌊N/2⌋) numbers that are drawn for a block, from 0 to 1."""
    import numpy as np

    return np.random.default_rng([0, block]).random(((count + 1) // 2, count // 2))
