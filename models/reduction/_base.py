"""What every reduction offers to the model, and the staged schedule that STA and random dropping share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from models.catalog import Architecture

if TYPE_CHECKING:
    from torch import Tensor

REGISTRY: dict[str, type[Reduction]] = {}
Method = TypeVar("Method", bound="type[Reduction]")


def register(method: Method) -> Method:
    """Enter a method under the name of its file."""
    method.name = method.__module__.rpartition(".")[2]
    REGISTRY[method.name] = method
    return method


@dataclass(frozen=True)
class Reduction:
    """A reduction that never drops anything; methods override what they change."""

    name: ClassVar[str]

    def stages(self, depth: int) -> tuple[int, ...]:
        """The blocks, counted from 1, after each of which one stage runs."""
        return ()

    def check(self, arch: Architecture) -> None:
        """Raise ValueError where this reduction cannot run on `arch`."""

    def tokens(self, arch: Architecture) -> tuple[int, ...] | None:
        """How many tokens of a clip each block works on; None where that shows only when it runs."""
        return None if self.stages(arch.depth) else (arch.slots * arch.tokens_per_slot,) * arch.depth

    def keep(self, tokens: Tensor, keys: Tensor, stage: int) -> Tensor:
        """Choose the tokens that stay.

        tokens: (B, T, N, C), a block's output; keys: (B, T, N, C / heads), its attention keys averaged over heads and
        L2-normalised; stage: counted from 1. Returns positions (B, T, kept) into N, in the order in which the next
        block gets them.
        """
        raise NotImplementedError

    def maps(self, tokens: Tensor, keys: Tensor, stage: int, kept: Tensor) -> dict[str, Tensor]:
        """For figures, by name, what a stage that kept `kept` went by: a value of each token, (B, T, N), not a number
        where one has none. The other arguments are those of `keep`."""
        return {}

    def fit(self, source: Architecture, target: Architecture) -> tuple[Reduction, str]:
        """The same reduction for a model of another size, and a note where it could not be carried over exactly."""
        return self, ""

    def canonical(self, arch: Architecture) -> str:
        """The one spelling of this reduction on `arch`, so that equal reductions share their records."""
        return self.name


@dataclass(frozen=True)
class Staged(Reduction):
    """Drops r tokens of every slot at each stage, then joins neighbouring slots in pairs (STA, section 3.3).

    T halves and N becomes 2(N − r), so stages drop 8r, 4r, 2r … tokens. Stages sit after blocks 1, 1 + L//3 and
    1 + 2L//3 unless `at` names others (for ViT-H that is 1, 11, 22, as in the reference code).
    """

    r: int
    at: tuple[int, ...] | None = None

    def stages(self, depth: int) -> tuple[int, ...]:
        return self.at or (1, 1 + depth // 3, 1 + 2 * depth // 3)

    def check(self, arch: Architecture) -> None:
        slots, tokens = arch.slots, arch.tokens_per_slot
        for block in self.stages(arch.depth):
            if block > arch.depth:
                raise ValueError(f"{self._text()}: there is no block {block}; the model has {arch.depth}")
            if self.r > tokens // 2:
                limit = f"half of a slot's {tokens} tokens after block {block}, {tokens // 2}"
                raise ValueError(f"{self._text()}: r is at most {limit}")
            if slots % 2 and slots > 1:
                raise ValueError(f"{self._text()}: {slots} slots after block {block} cannot be joined in pairs")
            slots, tokens = max(slots // 2, 1), (tokens - self.r) * (2 if slots > 1 else 1)

    def tokens(self, arch: Architecture) -> tuple[int, ...]:
        slots, tokens, counts = arch.slots, arch.tokens_per_slot, []
        for block in range(1, arch.depth + 1):
            counts.append(slots * tokens)
            if block in self.stages(arch.depth):
                slots, tokens = max(slots // 2, 1), (tokens - self.r) * (2 if slots > 1 else 1)
        return tuple(counts)

    def fit(self, source: Architecture, target: Architecture) -> tuple[Reduction, str]:
        exact = self.r * target.tokens_per_slot / source.tokens_per_slot
        at = self.at and tuple(1 + (block - 1) * target.depth // source.depth for block in self.at)
        if at and len(set(at)) < len(at):
            blocks = "-".join(map(str, at))
            raise ValueError(
                f"{self._text()}: in a stand-in of {target.depth} blocks two of its stages coincide, at={blocks}"
            )
        fitted = replace(self, r=round(exact), at=at)
        note = "" if exact == fitted.r else f"r = {self.r} scales to {exact:g}, rounded to {fitted.r}"
        return fitted, note

    def canonical(self, arch: Architecture) -> str:
        if self.r == 0:
            return "none"
        default = replace(self, at=None).stages(arch.depth)
        return self._text(with_at=self.stages(arch.depth) != default)

    def _settings(self) -> dict[str, Any]:
        """Settings beside `at`, in the order in which they are written."""
        return {"r": self.r}

    def _text(self, with_at: bool = True) -> str:
        parts = [f"{key}={value}" for key, value in self._settings().items()]
        if with_at and self.at:
            parts.append("at=" + "-".join(map(str, self.at)))
        return f"{self.name}:{','.join(parts)}"
