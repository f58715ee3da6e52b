"""Random dropping on STA's schedule: the control that a method has to beat (STA, Figure 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.reduction._base import register
from models.reduction._staged import Staged

if TYPE_CHECKING:
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
        import numpy as np  # so that a sweep is planned without loading it

        batch, slots, count, _ = tokens.shape
        stream = np.random.default_rng([self.seed, stage])
        order = stream.permuted(np.tile(np.arange(count), (slots, 1)), axis=1)[:, : count - self.r]
        kept = tokens.new_tensor(np.sort(order, axis=1)).long()
        return kept.expand(batch, -1, -1)
