"""Which tokens go of the slot that STA visits first, as it has none before it (Ding et al., section 3.3, Table 6a)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def first_slot(keys: Tensor, way: str, r: int, stage: int) -> Tensor:
    """(B, N, D) → (B, N): of each token a score; the r tokens with the highest are dropped."""
    return similarity_to_odd(keys) if way == "bipartite" else random_places(keys, r, stage, way == "grid")


def similarity_to_odd(keys: Tensor) -> Tensor:
    """(B, N, D) → (B, N): for an even position its largest cosine to any odd one; odd ones come before all of these."""
    score = keys.new_full(keys.shape[:2], -2.0)
    score[:, 0::2] = (keys[:, 0::2] @ keys[:, 1::2].transpose(1, 2)).amax(dim=-1)
    return score


def random_places(keys: Tensor, r: int, stage: int, by_cell: bool) -> Tensor:
    """(B, N, D) → (B, N): 1 for r random tokens, the same of every clip, and 0 for those that stay, in their order.

    by_cell: one of each cell of a √r × √r grid; where the tokens are no square any more, or r is none, of each of r
    runs of consecutive tokens, which the paper leaves open.
    """
    from models.reduction._constants import constant  # so that a sweep is planned without loading torch

    return constant(drawn, keys.shape[1], r, stage, by_cell, like=keys).expand(keys.shape[:2])


def drawn(count: int, r: int, stage: int, by_cell: bool) -> np.ndarray:
    """(N,) 1 for each token that is drawn, else 0."""
    import numpy as np

    order = np.random.default_rng([0, stage]).permutation(count)
    gone = order[np.unique(cells(count, r)[order], return_index=True)[1]] if by_cell else order[:r]
    score = np.zeros(count)
    score[gone] = 1
    return score


def cells(count: int, r: int) -> np.ndarray:
    """Of each of `count` tokens the number of its cell, of r."""
    import numpy as np

    side, across = math.isqrt(count), math.isqrt(r)
    if side**2 != count or across**2 != r:
        return np.arange(count) * r // count
    rows, columns = np.divmod(np.arange(count), side)
    return rows * across // side * across + columns * across // side
