"""Where the tokens that a reduction keeps came from: the stages of a forward pass as seen from outside."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.vit import VisionTransformer, take


@dataclass(frozen=True)
class Stage:
    """One stage of a reduction. Places are those of a clip before anything is dropped, slot by slot and row by row:
    p = slot · patches + patch."""

    block: int
    """The block, counted from 1, after which it ran."""
    slots: int
    """The time slots that it found; those of the clip, joined in pairs by each stage before."""
    seen: Tensor
    """(B, M) the places of the tokens that it chose from."""
    kept: Tensor
    """(B, K) the places of those that it kept, in the order in which the next block got them."""
    maps: dict[str, Tensor]
    """What the choice rested on, by name: (B, M), a value of each token in `seen`; not a number where one has none."""


def trace(model: VisionTransformer, video: Tensor) -> tuple[Tensor, list[Stage]]:
    """One forward pass of clips (B, 3, T, H, W): its logits (B, classes), and the stages that ran in it.

    Nothing is chosen for the sake of the trace: each token carries its place along through the model's own choices.
    """
    arch, blocks = model.arch, model.reduction.stages(model.arch.depth)
    places = torch.arange(arch.slots * arch.tokens_per_slot, device=video.device).expand(len(video), -1)
    stages: list[Stage] = []

    def observe(stage: int, kept: Tensor, maps: dict[str, Tensor]) -> None:
        nonlocal places
        seen, slots = places, kept.shape[1]
        places = take(seen.unflatten(1, (slots, -1)), kept)
        flat = {name: values.flatten(1) for name, values in maps.items()}
        stages.append(Stage(blocks[stage - 1], slots, seen, places, flat))

    model.observer = observe
    try:
        return model(video), stages
    finally:
        model.observer = None
