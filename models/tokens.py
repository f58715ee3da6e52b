"""The tokens that flow through a model, and the two things a reduction does with them: keep some, merge some.

All else follows from a `Choice`: the sizes of merged tokens, where each token came from, which clips still fit into one
tensor. Clips that keep different numbers of tokens are packed one behind the other, without padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.layers import offsets
from models.reduction import Choice


@dataclass(frozen=True)
class Tokens:
    """Tokens of a batch of clips: (B, N, C), or, where N differs from clip to clip, packed into (1, ΣN, C)."""

    x: Tensor
    sizes: Tensor | None = None
    """(B, N) as `x`, in at least float32; None while no token has been merged."""
    lengths: tuple[int, ...] | None = None
    """N of each clip where they are packed."""

    @property
    def count(self) -> int:
        """How many parts there are."""
        return 1 if self.lengths is None else len(self.lengths)

    def parts(self) -> "list[Tokens]":
        """The batch in pieces that are not packed: the whole, or its clips."""
        if self.lengths is None:
            return [self]
        return _parts(self.x[0], None if self.sizes is None else self.sizes[0], self.lengths)

    def with_x(self, x: Tensor) -> "Tokens":
        """The same tokens after a layer."""
        return replace(self, x=x)

    def log_sizes(self) -> Tensor | None:
        """(B, 1, 1, N) the logarithms of the sizes; None while all are 1."""
        return None if self.sizes is None else self.sizes.log()[:, None, None]

    def spread(self, values: Tensor | None) -> Tensor | None:
        """A number for each clip (B,) in a shape that multiplies `x`."""
        if values is None:
            return None
        if self.lengths is None:
            return values[:, None, None]
        counts = offsets(self.lengths, values.device).diff()
        return values.repeat_interleave(counts, output_size=sum(self.lengths))[None, :, None]

    def pooled(self, total: int) -> Tensor:
        """(B, C) the mean over each clip's tokens; with a `total`, Σ size·x / total where tokens were merged."""
        return torch.cat([_pooled(part, total) for part in self.parts()])


def join(parts: Sequence[Tokens]) -> Tokens:
    """The pieces of a batch as one, packed where there are several."""
    if len(parts) == 1:
        return parts[0]
    lengths = tuple(part.x.shape[1] for part in parts)
    sizes = [part.sizes for part in parts if part.sizes is not None]
    assert len(sizes) in (0, len(parts))
    return Tokens(torch.cat([part.x for part in parts], 1), torch.cat(sizes, 1) if sizes else None, lengths)


def apply(tokens: Tokens, choice: Choice) -> list[Tokens]:
    """The tokens (not packed) after a choice; in several pieces where the clips keep different numbers.

    A merged token is the mean of its group, weighted by size; gradients flow through it, not through the weights.
    """
    if choice.kept.dtype == torch.bool:
        return _masked(tokens, choice.kept)
    x, sizes = _at(tokens.x, choice.kept), tokens.sizes
    if choice.merged is None or choice.into is None:
        return [Tokens(x, None if sizes is None else sizes.gather(1, choice.kept))]
    if sizes is None:
        sizes = tokens.x.new_ones(tokens.x.shape[:2], dtype=torch.promote_types(x.dtype, torch.float32))
    own, arriving = sizes.gather(1, choice.kept), sizes.gather(1, choice.merged)
    if choice.weights is not None:
        arriving = arriving * choice.weights
    new = own.scatter_add(1, choice.into, arriving)
    weighted = _at(tokens.x, choice.merged) * arriving[..., None]
    total = (x * own[..., None]).scatter_add(1, choice.into[..., None].expand_as(weighted), weighted)
    return [Tokens((total / new[..., None]).to(x.dtype), new)]


def moves(choice: Choice, count: int) -> Tensor:
    """(B, N) for each of N = `count` tokens its new position, or that of the token that took it in; −1 where nothing is
    left of it."""
    if choice.kept.dtype == torch.bool:
        return torch.where(choice.kept, choice.kept.cumsum(1) - 1, -1)
    new = choice.kept.new_full((len(choice.kept), count), -1)
    new.scatter_(1, choice.kept, torch.arange(choice.kept.shape[1], device=new.device).expand_as(choice.kept))
    if choice.merged is not None and choice.into is not None:
        into = choice.into if choice.weights is None else torch.where(choice.weights > 0, choice.into, -1)
        new.scatter_(1, choice.merged, into)
    return new


def _masked(tokens: Tokens, kept: Tensor) -> list[Tokens]:
    counts = kept.sum(1).tolist()
    x, sizes = tokens.x[kept], None if tokens.sizes is None else tokens.sizes[kept]
    if len(set(counts)) > 1:
        return _parts(x, sizes, counts)
    shape = len(counts), counts[0]
    return [Tokens(x.unflatten(0, shape), None if sizes is None else sizes.unflatten(0, shape))]


def _parts(x: Tensor, sizes: Tensor | None, lengths: Sequence[int]) -> list[Tokens]:
    clips = x[None].split(lengths, 1)
    weights = [None] * len(lengths) if sizes is None else sizes[None].split(lengths, 1)
    return [Tokens(one, size) for one, size in zip(clips, weights, strict=True)]


def _at(x: Tensor, positions: Tensor) -> Tensor:
    return x.gather(1, positions[..., None].expand(*positions.shape, x.shape[-1]))


def _pooled(tokens: Tokens, total: int) -> Tensor:
    if tokens.sizes is None or not total:
        return tokens.x.mean(1)
    return ((tokens.x * tokens.sizes[..., None]).sum(1) / total).to(tokens.x.dtype)
