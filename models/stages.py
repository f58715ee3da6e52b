"""The stages of a reduction in one forward pass: what it goes by is gathered, it chooses, the tokens follow."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

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
    """The reduction's, (B, N) each; none where no observer looks at them."""


class Observer:
    """What is told of a forward pass; a subclass looks at what it needs."""

    maps: ClassVar[bool] = False
    """Whether it looks at the reduction's maps, which are not made for those that do not."""

    def stage(self, event: Event) -> None:
        """A stage has run on some of the clips."""

    def end(self, tokens: Tokens) -> None:
        """These are the tokens that are left at the end, which the model pools."""


@dataclass(frozen=True, eq=False)
class Stages:
    """The stages of `reduction` in a forward pass of one batch of clips."""

    reduction: Reduction
    arch: Architecture
    clips: Tensor
    """(B, 3, F, H, W), as the model got them."""
    observers: Sequence[Observer]
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
        return take(tokens, self.decide(place, block, tokens, asked))

    def decide(self, place: Place, block: int, tokens: Tokens, asked: Sequence[Asked] = ({},)) -> list[Choice | None]:
        """What the stage that is due there, if any, decides about each of the tokens' parts; None: all stay."""
        if not self.acts(place, block):
            return [None] * tokens.count
        self.ran.append(block)
        parts, choices = tokens.parts(), []
        for number, (part, found) in enumerate(zip(parts, list(asked) * (len(parts) // len(asked)), strict=True)):
            clips = self.clips if len(parts) == 1 else self.clips[number : number + 1]
            with torch.no_grad(), full_precision(clips.device.type):
                seen = self._seen(block, part, found, clips)
                choice = self._choose(seen)
            if choice is not None and self.observers:
                self._report(seen, choice, part, number)
            choices.append(choice)
        return choices

    def end(self, tokens: Tokens) -> None:
        """To be told what a family pools."""
        for one in self.observers:
            one.end(tokens)

    def _seen(self, block: int, tokens: Tokens, asked: Asked, clips: Tensor) -> Seen:
        # What stays is decided in at least float32, also under mixed precision.
        dtype = torch.promote_types(tokens.x.dtype, torch.float32)
        means: dict[str, Any] = {name: mean_of_heads(of_heads, 1) for name, of_heads in asked.items()}
        if "pixels" in self.reduction.needs:
            means["pixels"] = clips.to(torch.promote_types(clips.dtype, torch.float32))
        stage = self.reduction.blocks(self.arch).index(block) + 1
        x, sizes = tokens.x.to(dtype), tokens.sizes
        if is_plugin(type(self.reduction)):  # whatever a user's method writes into is its own
            x, sizes = x.clone(), None if sizes is None else sizes.clone()
            means = {name: one.clone() for name, one in means.items()}
        return Seen(self.arch, stage, block, x, sizes, **means)

    def _choose(self, seen: Seen) -> Choice | None:
        if is_plugin(type(self.reduction)):
            return choose_checked(self.reduction, seen, self.check)
        return self.reduction.choose(seen)

    def _report(self, seen: Seen, choice: Choice, found: Tokens, clip: int) -> None:
        with torch.no_grad(), full_precision(seen.tokens.device.type):
            wanted = any(one.maps for one in self.observers)
            maps, left = self.reduction.maps(seen, choice) if wanted else {}, apply(found, choice)
        sizes = [size for part in left for size in (part.sizes if part.sizes is not None else [None] * len(part.x))]
        moved = moves(choice, seen.tokens.shape[1])
        event = Event(seen.stage, seen.block, clip, moved, sizes, maps)
        for one in self.observers:
            one.stage(event)


def take(tokens: Tokens, choices: Sequence[Choice | None]) -> Tokens:
    """The tokens after what was decided about each of their parts."""
    if all(choice is None for choice in choices):
        return tokens
    pairs = zip(tokens.parts(), choices, strict=True)
    return join([left for part, choice in pairs for left in ([part] if choice is None else apply(part, choice))])


def mean_of_heads(values: Tensor, dim: int) -> Tensor:
    """The mean over a dimension, in at least float32, also under mixed precision."""
    return values.to(torch.promote_types(values.dtype, torch.float32)).mean(dim)


def full_precision(device: str) -> AbstractContextManager[Any]:
    """Switches automatic mixed precision off on devices that have it (the meta device has not)."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
