"""Random dropping on STA's schedule: the control that a method has to beat (STA, Figure 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.reduction._base import register
from models.reduction._staged import Staged

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@register
@dataclass(frozen=True)
class RandomDropping(Staged):
    """Keeps a random subset of every slot.

    The subset is drawn from `seed`, the stage and the slot, and is the same for every clip: a clip's logits then depend
    neither on its neighbours in the batch nor on how many processes share the work.
    """

    seed: int = 0

    def keep(self, tokens: Tensor, keys: Tensor, stage: int) -> Tensor:
        import torch  # so that a sweep is planned without loading it

        from models.reduction._constants import constant

        batch, slots, count, _ = tokens.shape
        kept = constant(subsets, self.seed, stage, slots, count, count - self.r, like=tokens, dtype=torch.int64)
        return kept.expand(batch, -1, -1)


def subsets(seed: int, stage: int, slots: int, count: int, left: int) -> np.ndarray:
    """(T, N − r) positions that are drawn for each slot, ascending."""
    import numpy as np

    stream = np.random.default_rng([seed, stage])
    order = stream.permuted(np.tile(np.arange(count), (slots, 1)), axis=1)[:, :left]
    return np.sort(order, axis=1)
