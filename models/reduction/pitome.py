"""PiToMe: merging by energy (Tran et al., "Accelerating Transformers with Spectrum-Preserving Token Merging", NeurIPS
2024), without training, as its code does it for MAE models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from models.architecture import Architecture
from models.reduction._base import Choice, Need, Place, Reduction, Seen, register
from models.reduction._matching import match, unit

if TYPE_CHECKING:
    from torch import Tensor


@register
@dataclass(frozen=True)
class PiToMe(Reduction):
    """In every block keeps a share of the tokens; those of high energy, which have many like them, are merged."""

    place: ClassVar[Place] = "between"
    needs: ClassVar[tuple[Need, ...]] = ("keys",)
    by_size: ClassVar[bool] = True
    near_ties: ClassVar[bool] = True

    dial: ClassVar[str] = "ratio"

    ratio: float
    """The share of its tokens that each block keeps, from 0.5 to 1."""

    @classmethod
    def dialled(cls, arch: Architecture) -> Iterable[str]:
        return (f"{k / 1000:g}" for k in range(1000, 499, -1))

    def stages(self, depth: int) -> tuple[int, ...]:
        return tuple(range(1, depth + 1)) if self.ratio < 1 else ()

    def choose(self, seen: Seen) -> Choice | None:
        assert seen.keys is not None
        import torch

        count, depth = seen.keys.shape[1], seen.arch.depth
        r = count - self.left(count, seen.stage, seen.arch)
        if not r:
            return None
        keys = unit(seen.keys)
        cosine = keys @ keys.transpose(1, 2)
        order = self._energy(cosine, seen.block, depth).argsort(dim=-1, descending=True, stable=True)
        if seen.block > (depth + 1) // 2:
            found = match(_between(cosine, order[:, 0::2], order[:, 1::2]), r)
            assert found.merged is not None
            return replace(found, kept=order.gather(1, found.kept), merged=order.gather(1, found.merged))
        a, b, others = order[:, 0 : 2 * r : 2], order[:, 1 : 2 * r : 2], order[:, 2 * r :]
        best = _between(cosine, a, b).argmax(dim=-1)
        return Choice(torch.cat((others, b), 1), a, others.shape[1] + best)

    def maps(self, seen: Seen, choice: Choice) -> dict[str, Tensor]:
        assert seen.keys is not None
        keys = unit(seen.keys)
        return {"energy": self._energy(keys @ keys.transpose(1, 2), seen.block, seen.arch.depth)}

    def _energy(self, cosine: Tensor, block: int, depth: int) -> Tensor:
        """(B, N, N) → (B, N): how much each token has like it; the margin falls from block to block."""
        import torch.nn.functional as F

        return F.elu(cosine - 0.75 * (1 - (block - 1) / depth)).mean(dim=-1)

    def left(self, count: int, stage: int, arch: Architecture) -> int:
        # Floating point as in the reference, where another form of the same may give one token more or less.
        return count - int(count - count * self.ratio)

    def products(self, count: int, stage: int, arch: Architecture) -> int:
        return count * count * arch.head_width

    def check(self, arch: Architecture) -> None:
        if not 0.5 <= self.ratio <= 1:
            raise ValueError(f"{self}: ratio, the share of tokens that each block keeps, is from 0.5 to 1")

    def fit(self, source: Architecture, target: Architecture) -> tuple[Reduction, str]:
        if source.depth == target.depth:
            return self, ""
        fitted = replace(self, ratio=max(round(self.ratio ** (source.depth / target.depth), 4), 0.5))
        return fitted, f"ratio = {self.ratio:g} over {source.depth} blocks is {fitted.ratio:g} over {target.depth}"


def _between(cosine: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Of all cosines (B, N, N) those of the tokens at positions a (B, A) to those at b (B, B')."""
    rows = cosine.gather(1, a[..., None].expand(-1, -1, cosine.shape[2]))
    return rows.gather(2, b[:, None].expand(-1, a.shape[1], -1))
