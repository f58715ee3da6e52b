"""STA: Semantic-aware Temporal Accumulation (Ding et al., ICCV 2023, section 3), without training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from models.architecture import Architecture
from models.reduction._base import Need, Seen, register
from models.reduction._first_slot import first_slot
from models.reduction._staged import Staged

if TYPE_CHECKING:
    from torch import Tensor

GROWTH = {"decreasing": 1, "constant": 2, "increasing": 4}
"""From stage to stage, how many times as many tokens of a slot are dropped."""


@register
@dataclass(frozen=True)
class STA(Staged):
    """Drops tokens that repeat earlier slots (high accumulated mass) and carry little content (low importance).

    What is not r or `at` are the ablations of Table 6; unset, they are the method.
    """

    first: Literal["bipartite", "random", "grid"] = "bipartite"
    """Which tokens the slot visited first drops (6a): even ones most similar to odd ones, or random ones, of all or of
    each cell of a grid."""
    order: Literal["fbf", "bfb", "fff", "bbb"] = "fbf"
    """Which way each stage visits the slots (6b): forward or backward."""
    by: Literal["k", "q", "v", "out"] = "k"
    """What of the tokens is compared (6c): keys, queries, values, or the block's output."""
    drops: Literal["decreasing", "constant", "increasing"] | tuple[int, ...] = "decreasing"
    """How many times r each stage drops of a slot (6d), slots being half as many from stage to stage: 1, 1, 1; 1, 2, 4;
    1, 4, 16; or a list."""
    score: Literal["both", "semantic", "temporal"] = "both"
    """What a token is kept by (6e): accumulated mass, importance, or both."""

    @property
    def needs(self) -> tuple[Need, ...]:  # type: ignore[override]
        found: dict[str, tuple[Need, ...]] = {"k": ("keys",), "q": ("queries",), "v": ("values",), "out": ()}
        return found[self.by]

    def compared(self, seen: Seen) -> Tensor:
        found = {"k": seen.keys, "q": seen.queries, "v": seen.values, "out": seen.tokens}[self.by]
        assert found is not None
        return found

    def dropped(self, stage: int, arch: Architecture) -> int:
        if isinstance(self.drops, tuple):
            return self.r * self.drops[stage - 1]
        return super().dropped(stage, arch) * GROWTH[self.drops] ** (stage - 1)

    def check(self, arch: Architecture) -> None:
        ablated = [name for name in self.settings() if name not in ("r", "at")]
        if arch.on_grid and ablated:
            raise ValueError(f"{self}: {ablated[0]} is for a ViT")
        stages = len(self.blocks(arch))
        if isinstance(self.drops, tuple) and len(self.drops) != stages:
            raise ValueError(f"{self}: drops lists {len(self.drops)} stages of {stages}")
        super().check(arch)

    def canonical(self, arch: Architecture) -> str:
        for name, growth in GROWTH.items():
            if self.drops == tuple(growth**stage for stage in range(len(self.blocks(arch)))):
                return replace(self, drops=name).canonical(arch)  # type: ignore[arg-type]
        return super().canonical(arch)

    def most(self, tokens: int) -> int:
        return tokens // 2 if self.drops == "decreasing" else tokens - 1

    def keep(self, tokens: Tensor, keys: Tensor, stage: int) -> Tensor:
        import torch

        return torch.stack(self._visit(tokens, keys, stage)[0], dim=1)

    def slot_maps(self, tokens: Tensor, keys: Tensor, stage: int, kept: Tensor) -> dict[str, Tensor]:
        importance = semantic_importance(tokens)
        scores = importance.new_full(importance.shape, float("nan"))
        for slot, score in self._visit(tokens, keys, stage, kept)[1].items():
            scores[:, slot] = score
        return {"importance": importance, "score": scores}

    def products(self, count: int, stage: int, arch: Architecture) -> int:
        slots, r = self.slots(stage, arch), self.dropped(stage, arch)
        if not r:
            return 0
        tokens, width = count // slots, arch.levels[0].dim if self.by == "out" else arch.head_width
        # Even tokens with odd ones in the first slot; then similarities and what they spread, from slot to slot.
        first = (tokens + 1) // 2 * (tokens // 2) * width if self.first == "bipartite" else 0
        pairs = tokens * (tokens + max(slots - 2, 0) * (tokens - r)) if slots > 1 and self.score != "semantic" else 0
        return first + pairs * (width + 1)

    def _visit(
        self, tokens: Tensor, keys: Tensor, stage: int, given: Tensor | None = None
    ) -> tuple[list[Tensor], dict[int, Tensor]]:
        """Go from slot to slot: by slot the kept positions, which may be given, and the scores of all but the first."""
        slots, count = tokens.shape[1:3]
        unimportance = 1 - semantic_importance(tokens)
        kept: list[Tensor] = [tokens] * slots
        scores: dict[int, Tensor] = {}

        def lowest(slot: int, score: Tensor) -> Tensor:
            return score.argsort(dim=-1, stable=True)[:, : count - self.r] if given is None else given[:, slot]

        # Slots are visited forward, backward, forward, … (F-B-F, section 3.3).
        forward = self.order[(stage - 1) % 2] == "f"
        first, *others = range(slots) if forward else reversed(range(slots))
        kept[first] = lowest(first, first_slot(keys[:, first], self.first, self.r, stage))
        mass = keys.new_ones((len(keys), count))
        for before, slot in pairwise((first, *others)):
            if self.score == "semantic":
                scores[slot] = unimportance[:, slot]
            else:
                spreading = keys[:, before]
                # As in the reference code, the first slot's dropped tokens too spread their mass to the second slot.
                if before != first:
                    spreading = spreading.gather(1, kept[before][..., None].expand(-1, -1, spreading.shape[-1]))
                    mass = mass.gather(1, kept[before])
                    mass = mass / mass.sum(dim=-1, keepdim=True)
                mass = accumulate(keys[:, slot], spreading, mass)
                scores[slot] = mass * unimportance[:, slot] if self.score == "both" else mass
            kept[slot] = lowest(slot, scores[slot])
        return kept, scores


def semantic_importance(tokens: Tensor) -> Tensor:
    """(B, T, N, C) → (B, T, N) in [0, 1]: L1 norm over channels, min-max normalised within each slot (section 3.2)."""
    norm = tokens.abs().sum(dim=-1)
    low, high = norm.amin(dim=-1, keepdim=True), norm.amax(dim=-1, keepdim=True)
    return (norm - low) / (high - low).clamp_min(1e-12)


def accumulate(current: Tensor, previous: Tensor, mass: Tensor) -> Tensor:
    """Each previous token (B, M, D) spreads its mass (B, M) over the current ones (B, N, D); returns (B, N)."""
    transition = (current @ previous.transpose(1, 2)).softmax(dim=1)
    return (transition @ mass[..., None])[..., 0]
