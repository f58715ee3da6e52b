"""STA: Semantic-aware Temporal Accumulation (Ding et al., ICCV 2023, section 3), without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.architecture import Architecture
from models.reduction._base import register
from models.reduction._staged import Staged

if TYPE_CHECKING:
    from torch import Tensor


@register
@dataclass(frozen=True)
class STA(Staged):
    """Drops tokens that repeat earlier slots (high accumulated mass) and carry little content (low importance)."""

    def keep(self, tokens: Tensor, keys: Tensor, stage: int) -> Tensor:
        kept, _ = self._visit(tokens, keys, stage)
        out = kept[0].new_empty((*tokens.shape[:2], tokens.shape[2] - self.r))
        for slot, positions in enumerate(kept):
            out[:, slot] = positions
        return out

    def slot_maps(self, tokens: Tensor, keys: Tensor, stage: int, kept: Tensor) -> dict[str, Tensor]:
        importance = semantic_importance(tokens)
        scores = importance.new_full(importance.shape, float("nan"))
        for slot, score in self._visit(tokens, keys, stage, kept)[1].items():
            scores[:, slot] = score
        return {"importance": importance, "score": scores}

    def products(self, count: int, stage: int, arch: Architecture) -> int:
        slots, r = self.slots(stage, arch), arch.dropped(self.r, stage)
        if not r:
            return 0
        tokens, width = count // slots, arch.head_width
        # Even tokens with odd ones in the first slot; then similarities and what they spread, from slot to slot.
        pairs = tokens * (tokens + max(slots - 2, 0) * (tokens - r)) if slots > 1 else 0
        return (tokens + 1) // 2 * (tokens // 2) * width + pairs * (width + 1)

    def _visit(
        self, tokens: Tensor, keys: Tensor, stage: int, given: Tensor | None = None
    ) -> tuple[list[Tensor], dict[int, Tensor]]:
        """Go from slot to slot: by slot the kept positions, which may be given, and the scores of all but the first."""
        slots, count = tokens.shape[1:3]
        importance = semantic_importance(tokens)
        kept: list[Tensor] = [tokens] * slots
        scores: dict[int, Tensor] = {}

        def lowest(score: Tensor) -> Tensor:
            return score.argsort(dim=-1, stable=True)[:, : count - self.r] if given is None else given[:, slot]

        # Slots are visited forward, backward, forward, … (F-B-F, section 3.3).
        for step, slot in enumerate(range(slots) if stage % 2 else reversed(range(slots))):
            current = keys[:, slot]
            if step == 0:
                kept[slot] = lowest(similarity_to_odd(current))
                # As in the reference code, the first slot's dropped tokens too spread their mass to the second slot.
                previous, mass = current, current.new_ones(current.shape[:2])
                continue
            mass = accumulate(current, previous, mass)
            scores[slot] = mass * (1 - importance[:, slot])
            kept[slot] = lowest(scores[slot])
            mass = mass.gather(1, kept[slot])
            mass = mass / mass.sum(dim=-1, keepdim=True)
            previous = current.gather(1, kept[slot][..., None].expand(-1, -1, current.shape[-1]))
        return kept, scores


def semantic_importance(tokens: Tensor) -> Tensor:
    """(B, T, N, C) → (B, T, N) in [0, 1]: L1 norm over channels, min-max normalised within each slot (section 3.2)."""
    norm = tokens.abs().sum(dim=-1)
    low, high = norm.amin(dim=-1, keepdim=True), norm.amax(dim=-1, keepdim=True)
    return (norm - low) / (high - low).clamp_min(1e-12)


def similarity_to_odd(keys: Tensor) -> Tensor:
    """(B, N, D) → (B, N): for an even position its largest cosine to any odd one; odd ones come before all of these."""
    score = keys.new_full(keys.shape[:2], -2.0)
    score[:, 0::2] = (keys[:, 0::2] @ keys[:, 1::2].transpose(1, 2)).amax(dim=-1)
    return score


def accumulate(current: Tensor, previous: Tensor, mass: Tensor) -> Tensor:
    """Each previous token (B, M, D) spreads its mass (B, M) over the current ones (B, N, D); returns (B, N)."""
    transition = (current @ previous.transpose(1, 2)).softmax(dim=1)
    return (transition @ mass[..., None])[..., 0]
