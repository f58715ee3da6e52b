"""The trajectory sum: how much of what a clip's last slot shows was shown by earlier slots too (STA, Table 1)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture import Architecture
from models.reduction import Reduction
from models.stages import full_precision
from models.tokens import Tokens
from models.tracing import Trace


class Trajectories(Trace):
    """Takes the trajectory sum of each clip of a forward pass.

    The paper leaves open of which layer's tokens it is, and where merged tokens count: here of the tokens that the
    model pools, and one counts in each slot of which it holds a token.
    """

    maps = False

    def __init__(self, reduction: Reduction, arch: Architecture, clips: int) -> None:
        super().__init__(reduction, arch, clips)
        self.sums: list[float] | None = None

    def end(self, tokens: Tokens) -> None:
        """ValueError where a clip has no token of its last slot left."""
        held = self.held().unflatten(1, (self.arch.slots, -1))
        clips = [clip for part in tokens.parts() for clip in part.x]
        if not (held[:, -1] >= 0).any(1).all():
            raise ValueError(f"trajectory_sum is over the last slot's tokens, and {self.reduction} left a clip none")
        with full_precision(tokens.x.device.type):
            self.sums = [trajectory_sum(*pair) for pair in zip(clips, held.to(tokens.x.device), strict=True)]
        self.events.clear()

    def values(self) -> list[float]:
        """Of each clip; ValueError where the model does not tell which tokens it pools."""
        if self.sums is None:
            family = type(self.arch).__name__
            raise ValueError(f"trajectory_sum needs the tokens that the model pools, which a {family} does not tell")
        return self.sums


def trajectory_sum(tokens: Tensor, slots: Tensor) -> float:
    """For each token of the last slot the largest cosine similarity to any token of an earlier slot, summed over these,
    in the mean.

    tokens: (M, C); slots: (T, N) which of them holds each place of each slot, −1 for none. A slot that has no token
    adds nothing.
    """
    unit = F.normalize(tokens.to(torch.promote_types(tokens.dtype, torch.float32)), dim=-1)
    *earlier, last = [slot[slot >= 0].unique() for slot in slots]
    cosines = unit[last] @ unit.T
    nearest = [cosines[:, slot].amax(1) for slot in earlier if len(slot)]
    return float(torch.stack(nearest).sum(0).mean()) if nearest else 0.0
