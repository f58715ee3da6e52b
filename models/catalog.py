"""The architectures by name and their shapes. Imports no torch: planning a sweep needs only these numbers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.plugin_code import Misuse


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

    @property
    def shape(self) -> str:
        """In a few words: width, blocks and heads, and the clips that it takes."""
        heads = "1 head" if self.heads == 1 else f"{self.heads} heads"
        return f"{self.dim} wide, {self.depth} blocks, {heads}, clips of {self.frames} × {self.image}²"

    @property
    def _inputs(self) -> int:
        """Numbers that one token is made of."""
        return 3 * self.tubelet * self.patch**2

    def parameters(self, num_classes: int) -> int:
        """How many weights the model has, a head of `num_classes` classes included."""
        block = 12 * self.dim**2 + 12 * self.dim
        return (self._inputs + 1) * self.dim + self.depth * block + 2 * self.dim + (self.dim + 1) * num_classes

    def multiply_adds(self, tokens: Sequence[tuple[int, int]]) -> int:
        """What one clip costs whose blocks' attention and MLP work on so many tokens each, as models/flops.py counts; a
        reduction's own products come on top."""
        n, c = self.slots * self.tokens_per_slot, self.dim
        blocks = sum(4 * a * c**2 + 2 * a**2 * c + 5 * a * c + 8 * m * c**2 + 5 * m * c for a, m in tokens)
        return n * self._inputs * c + blocks + 5 * c + c * self.num_classes


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


def register_model(name: str, arch: Architecture) -> None:
    """Enter an architecture of one's own; Misuse where the name is taken or the numbers make no model."""
    if name in ARCHITECTURES:
        raise Misuse(f"{name!r} is the name of a model that there is; give yours another")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", name):
        raise Misuse(f"{name!r} cannot be the name of a model: letters, digits, - and _, a letter first")
    for what, whole, part in (
        ("dim", arch.dim, "heads"), ("image", arch.image, "patch"), ("frames", arch.frames, "tubelet"),
    ):  # fmt: skip
        if whole < 1 or getattr(arch, part) < 1 or whole % getattr(arch, part):
            raise Misuse(f"model {name}: {what} = {whole} is no multiple of {part} = {getattr(arch, part)}")
    if arch.depth < 1 or arch.num_classes < 1:
        raise Misuse(f"model {name}: depth and num_classes must be at least 1")
    ARCHITECTURES[name] = arch
