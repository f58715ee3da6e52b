"""The architectures by name and their shapes. Imports no torch: planning a sweep needs only these numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """Shape of a VideoMAE-style ViT: a clip is cut into tubelets, grouped into time slots."""

    dim: int
    """Embedding width C."""
    depth: int
    """Number of transformer blocks L."""
    heads: int
    """Attention heads; each is dim / heads wide."""
    image: int = 224
    """Side of a frame, in pixels."""
    patch: int = 16
    """Side of a patch, in pixels."""
    frames: int = 16
    """Frames of a clip."""
    tubelet: int = 2
    """Frames that one token spans."""
    num_classes: int = 400
    """Classes of the head unless the dataset says otherwise (Kinetics-400)."""

    @property
    def slots(self) -> int:
        """Time slots T."""
        return self.frames // self.tubelet

    @property
    def tokens_per_slot(self) -> int:
        """Tokens N of one time slot."""
        return (self.image // self.patch) ** 2


ARCHITECTURES = {
    "vit_small": Architecture(384, 12, 6),
    "vit_base": Architecture(768, 12, 12),
    "vit_large": Architecture(1024, 24, 16),
    "vit_huge": Architecture(1280, 32, 16),
    # 8 slots of 7 × 7 tokens: a quarter of a ViT's 14 × 14, so that r / 4 drops the paper's fractions.
    "vit_demo": Architecture(40, 12, 1, image=56, patch=8, num_classes=16),
}


def architecture(name: str) -> Architecture:
    """The architecture called `name`; ValueError listing the valid names otherwise."""
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown model {name!r}; valid models: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
