"""Uniform dropping on STA's schedule: a control that looks at nothing, not even at a random number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.reduction._base import register
from models.reduction._staged import Staged

if TYPE_CHECKING:
    from torch import Tensor


@register
@dataclass(frozen=True)
class Uniform(Staged):
    """Of the N tokens of every slot keeps those at ⌊(i + ½)·N / (N − r)⌋, evenly spaced."""

    def keep(self, tokens: Tensor, keys: Tensor, stage: int) -> Tensor:
        import torch

        batch, slots, count, _ = tokens.shape
        left = count - self.r
        kept = (2 * torch.arange(left, device=tokens.device) + 1) * count // (2 * left)
        return kept.expand(batch, slots, -1)
