"""The trajectory sum: how much of what a clip's last slot shows was shown by earlier slots too (STA, Table 1)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture import Architecture
from models.reduction import Reduction
from models.tokens import Tokens
from models.tracing import Trace


class Trajectories(Trace):
    """Takes the trajectory sum of each clip of a forward pass.

    The paper leaves open of which layer's tokens it is, and where merged tokens count: here of the tokens that the
    model pools, and one counts in each slot of which it holds a token.
    """

    def values(self, reduction: Reduction, arch: Architecture, clips: int) -> list[float]:
        """Of each clip; ValueError where it cannot be taken."""
        if self.last is None:
            family = type(arch).__name__
            raise ValueError(f"trajectory_sum needs the tokens that the model pools, which a {family} does not tell")
        stages = self.stages(reduction, arch, clips)
        places = stages[-1].after.shape[1] if stages else self.last.x.shape[1]
        held = stages[-1].after if stages else torch.arange(places).expand(clips, -1)
        found = []
        for tokens, of_clip in zip(_clips(self.last), held, strict=True):
            slots = of_clip.unflatten(0, (arch.slots, -1))
            if not (slots[-1] >= 0).any():
                raise ValueError(f"trajectory_sum is over the last slot's tokens, and {reduction} left a clip none")
            found.append(trajectory_sum(tokens, slots.to(tokens.device)))
        return found


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


def _clips(tokens: Tokens) -> Sequence[Tensor]:
    """Of each clip (M, C)."""
    return [clip for part in tokens.parts() for clip in part.x]
