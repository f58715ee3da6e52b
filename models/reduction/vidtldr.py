"""vid-TLDR: saliency-aware merging in early blocks (Choi et al., CVPR 2024), without training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from models.architecture import Architecture
from models.reduction._base import Choice, Need, Place, Reduction, Seen, register
from models.reduction._matching import even_to_odd, match, pairs

if TYPE_CHECKING:
    from torch import Tensor


@register
@dataclass(frozen=True)
class VidTLDR(Reduction):
    """In the first blocks merges r tokens by likeness, weighted by how sharply they attend; background vanishes."""

    place: ClassVar[Place] = "between"
    needs: ClassVar[tuple[Need, ...]] = ("attention",)

    dial: ClassVar[str] = "r"

    r: tuple[float, ...]
    """Tokens merged in each of the first blocks, as r=400-200; below 1: a share of the tokens there."""

    @property
    def proportional(self) -> bool:
        return True

    @classmethod
    def dialled(cls, arch: Architecture) -> Iterable[str]:
        return map(str, range(arch.slots * arch.tokens_per_slot // 2 + 1))

    def stages(self, depth: int) -> tuple[int, ...]:
        return tuple(block for block, r in enumerate(self.r, 1) if r)

    def choose(self, seen: Seen) -> Choice | None:
        assert seen.attention is not None
        count = seen.tokens.shape[1]
        r = count - self.left(count, seen.stage, seen.arch)
        if not r:
            return None
        found = match(even_to_odd(seen.tokens), r, sort_back=True)
        assert found.merged is not None
        return replace(found, weights=saliency(seen.attention).gather(1, found.merged))

    def maps(self, seen: Seen, choice: Choice) -> dict[str, Tensor]:
        assert seen.attention is not None
        return {"saliency": saliency(seen.attention)}

    def left(self, count: int, stage: int, arch: Architecture) -> int:
        r = self.r[self.stages(arch.depth)[stage - 1] - 1]
        return count - min(int(r * count if r < 1 else r), count // 2)

    def products(self, count: int, stage: int, arch: Architecture) -> int:
        return pairs(count) * arch.levels[0].dim

    def check(self, arch: Architecture) -> None:
        if len(self.r) > arch.depth:
            raise ValueError(f"{self}: a list of {len(self.r)} for {arch.depth} blocks")
        if any(r > 1 and r != int(r) for r in self.r):
            raise ValueError(f"{self}: each r is a whole number of tokens, or a share below 1")

    def fit(self, source: Architecture, target: Architecture) -> tuple[Reduction, str]:
        share = target.slots * target.tokens_per_slot / (source.slots * source.tokens_per_slot)
        exact = tuple(r if r < 1 else r * share for r in self.r)
        rounded = tuple(r if r < 1 else float(round(r * share)) for r in self.r)
        fitted = replace(self, r=rounded[: target.depth])
        return fitted, "" if fitted.r == exact else f"{self} scales to {fitted}, rounded or cut to its blocks"


def saliency(attention: Tensor) -> Tensor:
    """(B, N, N) probabilities → (B, N) in [0, 1]: how sharply a token attends; 0 for background (section 3.2)."""
    import torch

    sharpness = torch.special.xlogy(attention, attention).sum(dim=-1)  # 0 · log 0 is 0
    lowest = sharpness.amin(dim=-1, keepdim=True)
    score = _over_maximum(sharpness - lowest)
    mean = score.mean(dim=-1, keepdim=True)
    return _over_maximum(score - mean).masked_fill(score < mean, 0)


def _over_maximum(score: Tensor) -> Tensor:
    highest = score.amax(dim=-1, keepdim=True)
    return (score / highest).masked_fill(highest <= 0, 0)
