"""ToMe's bipartite soft matching (Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.reduction._base import Choice

if TYPE_CHECKING:
    from torch import Tensor


def even_to_odd(metric: Tensor) -> Tensor:
    """(B, N, D) → (B, ⌈N/2⌉, ⌊N/2⌋): the cosines of the tokens at even positions, A, to those at odd ones, B."""
    metric = unit(metric)
    return metric[:, 0::2] @ metric[:, 1::2].transpose(1, 2)


def unit(metric: Tensor) -> Tensor:
    """Divided by its norm; without an epsilon, as the reference."""
    return metric / metric.norm(dim=-1, keepdim=True)


def match(cosine: Tensor, r: int, sort_back: bool = False) -> Choice:
    """Merge r tokens of A, those most like a token of B, into that token; positions are of A and B taken in turn.

    cosine: of A to B, as `even_to_odd` gives it. The tokens of A that stay come first, by falling likeness or, with
    `sort_back`, in their order; then those of B. 0 < r ≤ ⌊N/2⌋. The reference's sort is not stable; this one is.
    """
    import torch

    likeness, best = cosine.max(dim=-1)
    ranked = likeness.argsort(dim=-1, descending=True, stable=True)
    merged, staying = ranked[:, :r], ranked[:, r:]
    if sort_back:
        staying = staying.sort(dim=-1).values
    b = torch.arange(cosine.shape[2], device=cosine.device).expand(len(cosine), -1)
    return Choice(
        kept=torch.cat((2 * staying, 2 * b + 1), 1),
        merged=2 * merged,
        into=staying.shape[1] + best.gather(1, merged),
    )


def pairs(count: int) -> int:
    """Products of two tokens that a matching of `count` tokens takes."""
    return (count + 1) // 2 * (count // 2)
