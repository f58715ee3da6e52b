"""Forward passes of one batch of clips under several reductions: they run as one until their stages decide differently.

A pass has the same bits as alone, because it takes what another has computed only from the same tokens.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.layers import Asked
from models.reduction import Choice
from models.reduction._base import Place
from models.stages import Stages, take
from models.tokens import Tokens


@dataclass(frozen=True)
class Fork:
    """Passes that have been alike so far, at a place where a stage of theirs may be due."""

    passes: list[Stages]
    place: Place
    block: int
    """Counted from 1."""
    found: Tokens
    """The tokens before the stage."""
    choices: list[Choice | None]
    """What it decides about each of their parts."""

    def tokens(self) -> Tokens:
        """The tokens after it."""
        return take(self.found, self.choices)


def forks(
    passes: Sequence[Stages], place: Place, block: int, tokens: Tokens, asked: Sequence[Asked] = ({},)
) -> list[Fork]:
    """Run the stages that are due at a place; passes whose stages decide alike stay together."""
    found: list[Fork] = []
    for one in passes:
        choices = one.decide(place, block, tokens, asked)
        same = next((fork for fork in found if _alike(fork.choices, choices)), None)
        if same:
            same.passes.append(one)
        else:
            found.append(Fork([one], place, block, tokens, choices))
    return found


def by(passes: Iterable[Stages], key: Callable[[Stages], Hashable]) -> list[list[Stages]]:
    """The passes in groups of one key."""
    groups: dict[Hashable, list[Stages]] = {}
    for one in passes:
        groups.setdefault(key(one), []).append(one)
    return list(groups.values())


def in_order(passes: Sequence[Stages], ends: Sequence[tuple[Stages, Tensor]]) -> list[Tensor]:
    """What each pass came to, in their order. They are told by identity, which torch.compile can follow."""
    return [next(found for other, found in ends if other is one) for one in passes]


def _alike(some: Sequence[Choice | None], others: Sequence[Choice | None]) -> bool:
    """Whether choices about the same tokens are the same."""
    for one, other in zip(some, others, strict=True):
        if one is None or other is None:
            if one is not other:
                return False
        elif not all(_equal(value, vars(other)[name]) for name, value in vars(one).items()):
            return False
    return True


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and torch.equal(one, other)
