"""Mixup and cutmix on clips, and soft targets: timm's, with time folded into the channels."""

import numpy as np
from timm.data.mixup import Mixup, mixup_target
from torch import Tensor

from jobs.spec.recipe import Recipe


class Mixing:
    """Mixes the clips of a micro-batch in pairs, as the recipe says (STA supplement, section A)."""

    def __init__(self, recipe: Recipe, num_classes: int) -> None:
        self._recipe, self._num_classes = recipe, num_classes
        self._mixup = Mixup(
            mixup_alpha=recipe.mixup,
            cutmix_alpha=recipe.cutmix,
            prob=recipe.mixup_prob,
            switch_prob=recipe.switch_prob,
            label_smoothing=recipe.label_smoothing,
            num_classes=num_classes,
        )

    def __call__(self, clips: Tensor, labels: Tensor, place: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Clips (B, 3, T, H, W), labels (B,) → mixed clips, soft targets (B, num_classes).

        A box of cutmix is the same in all frames of a clip. The same `place`, plain numbers such as step and process,
        gives the same mix. B must be even where anything is mixed.
        """
        recipe = self._recipe
        if not (recipe.mixup or recipe.cutmix):
            return clips, mixup_target(labels, self._num_classes, 1.0, recipe.label_smoothing)
        # timm draws from NumPy's global generator.
        np.random.seed(np.random.SeedSequence((recipe.seed, *place)).generate_state(1))
        mixed, targets = self._mixup(clips.flatten(1, 2), labels)
        return mixed.view_as(clips), targets
