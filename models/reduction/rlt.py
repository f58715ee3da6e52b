"""RLT: run-length tokenization (Choudhury et al., "Don't Look Twice", NeurIPS 2024), without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from models.architecture import Architecture
from models.reduction._base import Choice, Need, Place, Reduction, Seen, register


@register
@dataclass(frozen=True)
class RLT(Reduction):
    """Before the first block drops the patches that repeat the slot before; how many, hangs on the clip."""

    place: ClassVar[Place] = "before"
    needs: ClassVar[tuple[Need, ...]] = ("pixels",)
    by_content: ClassVar[bool] = True

    tau: float = 0.1
    """Mean difference of normalised pixels, up to which a patch counts as repeated."""

    def stages(self, depth: int) -> tuple[int, ...]:
        return (1,)

    def choose(self, seen: Seen) -> Choice:
        assert seen.pixels is not None
        import torch

        arch, clips = seen.arch, seen.pixels.unflatten(2, (seen.arch.slots, -1))
        # The last frame of a slot against the first of the slot before; those between are not looked at.
        change = (clips[:, :, 1:, -1] - clips[:, :, :-1, 0]).abs().mean(dim=1)
        rows = arch.image // arch.patch
        patches = change.unflatten(3, (rows, arch.patch)).unflatten(2, (rows, arch.patch))
        moved = patches.mean(dim=(3, 5)).flatten(2) > self.tau
        first = moved.new_ones(len(clips), 1, arch.tokens_per_slot)
        return Choice(torch.cat((first, moved), 1).flatten(1))

    def check(self, arch: Architecture) -> None:
        if self.tau < 0:
            raise ValueError(f"{self}: tau is a mean difference of pixels, 0 or more")

    def settings(self) -> dict[str, float]:
        return {"tau": self.tau}
