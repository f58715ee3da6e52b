"""The stages of a reduction in one forward pass: what it goes by is gathered, it chooses, the tokens follow."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from models.architecture import Architecture
from models.layers import Asked
from models.plugin_code import is_plugin
from models.reduction import Choice, Reduction, Seen
from models.reduction._base import Place
from models.reduction._checked import choose_checked
from models.tokens import Tokens, apply, join, moves


@dataclass(frozen=True)
class Event:
    """What one stage did to some clips of a batch, all of which it found with as many tokens."""

    stage: int
    """Counted from 1."""
    block: int
    """At which it ran, counted from 1."""
    clip: int
    """The first of the clips in the batch."""
    moves: Tensor
    """(B, N) for each token its new position, or that of the token that took it in; −1 where nothing is left of it."""
    sizes: list[Tensor | None]
    """Of each clip (M,), what the tokens weigh that were left; None where none was merged so far."""
    maps: dict[str, Tensor]
    """The reduction's, (B, N) each."""


Observer = Callable[[Event], None]


@dataclass(frozen=True)
class Stages:
    """The stages of `reduction` on one batch of clips."""

    reduction: Reduction
    arch: Architecture
    clips: Tensor
    """(B, 3, F, H, W), as the model got them."""
    observer: Observer | None
    check: bool = False
    """Whether the values of what a user's method decides are checked, for which a GPU is waited for."""
    ran: list[int] = field(default_factory=list)
    """The blocks at which stages have run."""

    def acts(self, place: Place, block: int) -> bool:
        """Whether a stage runs there; blocks count from 1."""
        return self.reduction.placed(self.arch) == place and block in self.reduction.blocks(self.arch)

    def asks(self, block: int) -> tuple[str, ...]:
        """What a block's attention has to hand over."""
        found = self.reduction.placed(self.arch) != "before" and block in self.reduction.blocks(self.arch)
        return self.reduction.needs if found else ()

    def run(self, place: Place, block: int, tokens: Tokens, asked: Sequence[Asked] = ({},)) -> Tokens:
        """The tokens after the stage that is due there, or as they are. asked: of each of their parts."""
        if not self.acts(place, block):
            return tokens
        self.ran.append(block)
        after: list[Tokens] = []
        parts = tokens.parts()
        for number, (part, found) in enumerate(zip(parts, list(asked) * (len(parts) // len(asked)), strict=True)):
            clips = self.clips if len(parts) == 1 else self.clips[number : number + 1]
            with torch.no_grad(), _full_precision(clips.device.type):
                seen = self._seen(block, part, found, clips)
                choice = self._choose(seen)
            left = [part] if choice is None else apply(part, choice)
            if choice is not None and self.observer:
                self._report(seen, choice, left, number)
            after += left
        return join(after)

    def keep(self, block: int, x: Tensor, keys: Tensor) -> Tensor | None:
        """(B, M) positions of the tokens that stay of those on a grid, (B, N, C), before a block at which a stage runs;
        None: all. keys: (B, N, D), as in `Seen`."""
        self.ran.append(block)
        with torch.no_grad(), _full_precision(x.device.type):
            seen = self._seen(block, Tokens(x), {"keys": keys[:, None]}, self.clips)
            choice = self._choose(seen)
        if choice is None:
            return None
        if self.observer:
            self._report(seen, choice, apply(Tokens(x), choice), 0)
        return choice.kept

    def _seen(self, block: int, tokens: Tokens, asked: Asked, clips: Tensor) -> Seen:
        # What stays is decided in at least float32, also under mixed precision.
        dtype = torch.promote_types(tokens.x.dtype, torch.float32)
        means: dict[str, Any] = {name: mean_of_heads(of_heads, 1) for name, of_heads in asked.items()}
        if "pixels" in self.reduction.needs:
            means["pixels"] = clips.to(torch.promote_types(clips.dtype, torch.float32))
        stage = self.reduction.blocks(self.arch).index(block) + 1
        return Seen(self.arch, stage, block, tokens.x.to(dtype), tokens.sizes, **means)

    def _choose(self, seen: Seen) -> Choice | None:
        if is_plugin(type(self.reduction)):
            return choose_checked(self.reduction, seen, self.check)
        return self.reduction.choose(seen)

    def _report(self, seen: Seen, choice: Choice, left: Sequence[Tokens], clip: int) -> None:
        assert self.observer is not None
        with torch.no_grad(), _full_precision(seen.tokens.device.type):
            maps = self.reduction.maps(seen, choice)
        sizes = [size for part in left for size in (part.sizes if part.sizes is not None else [None] * len(part.x))]
        moved = moves(choice, seen.tokens.shape[1])
        self.observer(Event(seen.stage, seen.block, clip, moved, sizes, maps))


def mean_of_heads(values: Tensor, dim: int) -> Tensor:
    """The mean over a dimension, in at least float32, also under mixed precision."""
    return values.to(torch.promote_types(values.dtype, torch.float32)).mean(dim)


def _full_precision(device: str) -> AbstractContextManager[Any]:
    """Switches automatic mixed precision off on devices that have it (the meta device has not)."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
