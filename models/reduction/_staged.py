"""The staged schedule of STA, which random and uniform dropping share (Ding et al., ICCV 2023, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from models.architecture import Architecture
from models.plugin_code import Misuse
from models.reduction._base import Choice, Need, Place, Reduction, Seen

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Staged(Reduction):
    """Drops r tokens of every slot at each stage, then joins neighbouring slots in pairs.

    T halves and N becomes 2(N − r), so stages drop 8r, 4r, 2r … tokens. Stages sit after blocks 1, 1 + L//3 and
    1 + 2L//3 unless `at` names others (for ViT-H that is 1, 11, 22, as in the reference code).

    On a grid (Video Swin) they sit before the first blocks of all levels but one, each on the whole grid of its level;
    slots are not joined, and the architecture says how many tokens a stage drops where the first drops r.
    """

    needs: ClassVar[tuple[Need, ...]] = ("keys",)

    dial: ClassVar[str] = "r"

    r: int
    at: tuple[int, ...] | None = None

    @classmethod
    def dialled(cls, arch: Architecture) -> Iterable[str]:
        return map(str, range((_most(arch) if arch.on_grid else arch.tokens_per_slot // 2) + 1))

    def __post_init__(self) -> None:
        if self.at is not None and (list(self.at) != sorted(set(self.at)) or not self.at or self.at[0] < 1):
            raise ValueError("at must name blocks from 1 on, ascending, as in at=1-9-17")

    def keep(self, tokens: Tensor, keys: Tensor, stage: int) -> Tensor:
        """Choose the tokens that stay.

        tokens: (B, T, N, C), a block's output; keys: (B, T, N, C / heads), its attention keys averaged over heads and
        L2-normalised; stage: counted from 1. Returns positions (B, T, N − r) into N, in the order in which the next
        block gets them.
        """
        raise NotImplementedError

    def slot_maps(self, tokens: Tensor, keys: Tensor, stage: int, kept: Tensor) -> dict[str, Tensor]:
        """For figures, by name, what a stage that kept `kept` went by: a value of each token, (B, T, N), not a number
        where one has none. The other arguments are those of `keep`."""
        return {}

    def choose(self, seen: Seen) -> Choice | None:
        import torch

        acting = self._at(seen)
        if not acting.r:
            return None
        tokens, keys = self._by_slot(seen)
        kept = acting.keep(tokens, keys, seen.stage)
        shape = *tokens.shape[:2], tokens.shape[2] - acting.r
        if not isinstance(kept, torch.Tensor) or kept.shape != shape:
            returned = (
                f"the shape {tuple(kept.shape)}" if isinstance(kept, torch.Tensor) else f"a {type(kept).__name__}"
            )
            raise Misuse(f"keep must return positions of the shape (B, T, N - r) = {shape}, not {returned}")
        first = torch.arange(0, seen.tokens.shape[1], tokens.shape[2], device=kept.device)
        return Choice((kept + first[:, None]).flatten(1))

    def maps(self, seen: Seen, choice: Choice) -> dict[str, Tensor]:
        tokens, keys = self._by_slot(seen)
        kept = choice.kept.unflatten(1, (tokens.shape[1], -1)) % tokens.shape[2]
        maps = self._at(seen).slot_maps(tokens, keys, seen.stage, kept)
        return {name: one.flatten(1) for name, one in maps.items()}

    def stages(self, depth: int) -> tuple[int, ...]:
        return self.at or (1, 1 + depth // 3, 1 + 2 * depth // 3)

    def blocks(self, arch: Architecture) -> tuple[int, ...]:
        return (arch.reducing if self.r else ()) if arch.on_grid else self.stages(arch.depth)

    def placed(self, arch: Architecture) -> Place:
        return "before" if arch.on_grid else self.place

    def slots(self, stage: int, arch: Architecture) -> int:
        joined = 0 if arch.on_grid else stage - 1  # in pairs, by each stage before
        return max(arch.slots >> joined, 1)

    def dropped(self, stage: int, arch: Architecture) -> int:
        """How many tokens of each slot a stage drops."""
        return arch.dropped(self.r, stage)

    def left(self, count: int, stage: int, arch: Architecture) -> int:
        return count - self.slots(stage, arch) * self.dropped(stage, arch)

    def check(self, arch: Architecture) -> None:
        if arch.on_grid:
            self._check_on_grid(arch)
            return
        count = arch.slots * arch.tokens_per_slot
        for stage, block in enumerate(self.stages(arch.depth), 1):
            slots = self.slots(stage, arch)
            tokens = count // slots
            if block > arch.depth:
                raise ValueError(f"{self}: there is no block {block}; the model has {arch.depth}")
            if self.dropped(stage, arch) > self.most(tokens):
                self._too_many(stage, block, tokens, arch)
            if slots % 2 and slots > 1:
                raise ValueError(f"{self}: {slots} slots after block {block} cannot be joined in pairs")
            count = self.left(count, stage, arch)

    def most(self, tokens: int) -> int:
        """How many of a slot's tokens a stage may drop."""
        return tokens // 2

    def _too_many(self, stage: int, block: int, tokens: int, arch: Architecture) -> None:
        dropped = self.dropped(stage, arch)
        if dropped == self.r and self.most(tokens) == tokens // 2:
            limit = f"half of a slot's {tokens} tokens after block {block}, {tokens // 2}"
            raise ValueError(f"{self}: r is at most {limit}")
        limit = f"of a slot's {tokens} tokens after block {block}, and may drop {self.most(tokens)}"
        raise ValueError(f"{self}: stage {stage} would drop {dropped} {limit}")

    def fit(self, source: Architecture, target: Architecture) -> tuple[Reduction, str]:
        if source.on_grid != target.on_grid:
            kinds = "one keeps its tokens on a grid and the other in a sequence"
            raise ValueError(f"{self}: it cannot be carried over to the stand-in, as {kinds}")
        exact = self.r * target.tokens_per_slot / source.tokens_per_slot
        at = self.at and tuple(1 + (block - 1) * target.depth // source.depth for block in self.at)
        if at and len(set(at)) < len(at):
            blocks = "-".join(map(str, at))
            raise ValueError(f"{self}: in a stand-in of {target.depth} blocks two of its stages coincide, at={blocks}")
        fitted = self._nearest(exact, at, target)
        note = "" if exact == fitted.r else f"r = {self.r} scales to {exact:g}, rounded to {fitted.r}"
        return fitted, "; ".join(filter(None, [note, _shares(self.r, source, fitted.r, target)]))

    def _nearest(self, exact: float, at: tuple[int, ...] | None, target: Architecture) -> Self:
        """The whole r that is nearest to `exact`; the one below where that drops more than `target` has."""
        fitted = replace(self, r=round(exact), at=at)
        try:
            fitted.check(target)
        except ValueError:
            lower = replace(fitted, r=int(exact))
            return lower if lower.r < fitted.r else fitted
        return fitted

    def canonical(self, arch: Architecture) -> str:
        if self.r == 0:
            return "none"
        default = replace(self, at=None)
        return str(default if self.at == default.stages(arch.depth) else self)

    def settings(self) -> dict[str, Any]:
        found = super().settings()
        at = found.pop("at", None)  # written last
        return found | ({"at": at} if at else {})

    def _check_on_grid(self, arch: Architecture) -> None:
        if self.r and not arch.reducing:
            raise ValueError(f"{self}: this model has no level but the first, before which stages run")
        if self.at is not None:
            blocks = ", ".join(map(str, arch.reducing))
            raise ValueError(f"{self}: at is for a ViT; in this model stages run before blocks {blocks}")
        if set(self.needs) - {"keys", "pixels"}:
            needs = ", ".join(self.needs)
            raise ValueError(f"{self} goes by {needs}; in this model there are keys and pixels only")
        if self.r > _most(arch):
            grids = ", ".join(f"{arch.side(k)}²" for k in range(2, len(arch.levels) + 1))
            raise ValueError(f"{self}: r is at most {_most(arch)}, so that a token is left of each grid, {grids}")

    def _at(self, seen: Seen) -> Self:
        """The same with the r of a stage."""
        r = self.dropped(seen.stage, seen.arch)
        return self if r == self.r else replace(self, r=r)

    def compared(self, seen: Seen) -> Tensor:
        """(B, N, D) what of the tokens is compared with each other."""
        assert seen.keys is not None
        return seen.keys

    def _by_slot(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """(B, T, N, C) tokens, and what of them is compared, L2-normalised."""
        import torch.nn.functional as F

        slots = self.slots(seen.stage, seen.arch)
        return seen.tokens.unflatten(1, (slots, -1)), F.normalize(self.compared(seen), dim=-1).unflatten(1, (slots, -1))


def _most(arch: Architecture) -> int:
    """The largest r with which each stage on a grid leaves a token of every slot."""
    sides = [arch.side(level) for level in range(2, len(arch.levels) + 1)]

    def fits(r: int) -> bool:
        return all(arch.dropped(r, stage) < side**2 for stage, side in enumerate(sides, 1))

    return max(filter(fits, range(arch.tokens_per_slot + 1)), default=0)


def _shares(r: int, source: Architecture, fitted: int, target: Architecture) -> str:
    """What a stand-in on a grid drops in other shares, in words; empty where there is nothing."""
    if not source.on_grid:
        return ""
    found = []
    for stage in range(1, min(len(source.levels), len(target.levels))):
        shares = [arch.dropped(one, stage) / arch.side(stage + 1) ** 2 for arch, one in ((source, r), (target, fitted))]
        if abs(shares[0] - shares[1]) > 0.02:
            found.append(f"stage {stage} drops {100 * shares[1]:.0f} % of its grid instead of {100 * shares[0]:.0f} %")
    return "; ".join(found)
