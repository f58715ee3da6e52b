"""The ViT that VideoMAE fine-tunes: no class token, fixed positions, mean pooling; any reduction between its blocks.

Parameter names are VideoMAE's, so its checkpoints load as they are. One set of weights serves every reduction.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.catalog import Architecture, architecture
from models.layers import Block, Context
from models.reduction import Reduction, reduction_on
from models.stages import Observer, Stages
from models.tokens import Tokens


class PatchEmbed(nn.Module):
    """Cuts a clip (B, 3, T, H, W) into tubelets: (B, slots · patches, C), slot by slot."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        size = (arch.tubelet, arch.patch, arch.patch)
        self.proj = nn.Conv3d(3, arch.dim, size, size)

    def forward(self, video: Tensor) -> Tensor:
        # Without contiguous() every later tensor would keep the transposed strides, and each LayerNorm copy it.
        return self.proj(video).flatten(2).transpose(1, 2).contiguous()


class VisionTransformer(nn.Module):
    """A video ViT with a token reduction that can be switched at any time.

    Its parameters may be converted, as by half(); clips must then have their dtype, and the logits do.
    """

    positions: Tensor
    """Of all tokens of a whole clip: (1, slots · patches, C)."""
    drop_path: float
    """Stochastic depth: the last block's probability of skipping a branch in training, in [0, 1); it rises linearly
    from 0 at the first (Huang et al., "Deep Networks with Stochastic Depth", 2016)."""
    activation_checkpointing: bool
    """Whether, in training, a block's activations are computed again in the backward pass instead of kept."""
    observer: Observer | None
    """Called with what each stage of a forward pass did."""

    def __init__(self, arch: Architecture, num_classes: int) -> None:
        super().__init__()
        self.arch = arch
        self.num_classes = num_classes
        self.drop_path = 0.0
        self.activation_checkpointing = False
        self.observer = None
        self._whole = arch
        self._first_slot = 0
        self.patch_embed = PatchEmbed(arch)
        self.register_buffer("positions", sinusoid(arch.slots * arch.tokens_per_slot, arch.dim), persistent=False)
        self.blocks = nn.ModuleList(Block(arch.dim, arch.heads) for _ in range(arch.depth))
        self.fc_norm = nn.LayerNorm(arch.dim, eps=1e-6)
        self.head = nn.Linear(arch.dim, num_classes)
        self.apply(_initialise)
        self.set_reduction("none")

    def set_reduction(self, text: str) -> None:
        """Switch to the reduction that `text` names, as `sta:r=48` or `tome:gflops=308`; ValueError where it does not
        fit this model."""
        self.reduction: Reduction = reduction_on(text, self.arch)
        self._unchecked = True

    def set_frames(self, frames: int, slot: int = 0) -> None:
        """Take clips of `frames` frames, with the positions of a whole clip from its time slot `slot` on.

        The architecture's own number restores whole clips. ValueError, leaving the model as it was, where such a clip
        is no part of a whole one or the present reduction cannot run on it.
        """
        whole = self._whole
        arch = replace(whole, frames=frames)
        if frames < whole.tubelet or frames % whole.tubelet or not 0 <= slot <= whole.slots - arch.slots:
            limits = f"multiples of {whole.tubelet} up to {whole.frames}, from slots that leave room for them"
            raise ValueError(f"a clip of {frames} frames from time slot {slot} on does not fit; valid: {limits}")
        self.reduction.check(arch)
        self.arch, self._first_slot = arch, slot

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """The layers of timm's `param_groups_layer_decay`, numbered as VideoMAE's.

        patch_embed is 0, block i (from 0) is i + 1, and fc_norm and head share the last, depth + 1. coarse: part of
        timm's interface; there is only this one division.
        """
        return {"stem": r"^patch_embed\.", "blocks": r"^blocks\.(\d+)\."}

    def forward(self, video: Tensor, branches: Tensor | None = None) -> Tensor:
        """Clips (B, 3, T, H, W), normalised → logits (B, num_classes).

        branches: (B, 2 · depth), uniform in [0, 1); in training, sample b skips branch j (0: attention, 1: MLP) of
        block i (from 0) where branches[b, 2i + j] is below that block's rate of `drop_path`. Given by the caller, so
        that a training does not depend on how its batch is divided. Not looked at where nothing can be skipped.
        """
        arch = self.arch
        if tuple(video.shape[1:]) != (3, arch.frames, arch.image, arch.image):
            expected = f"(B, 3, {arch.frames}, {arch.image}, {arch.image})"
            raise ValueError(f"clips must have the shape {expected}, got {tuple(video.shape)}")
        x = self.patch_embed(video)
        first, count = self._first_slot * arch.tokens_per_slot, arch.slots * arch.tokens_per_slot
        x = x + self.positions[:, first : first + count]
        x = x.to(self.patch_embed.proj.weight.dtype)  # DeepSpeed converts parameters alone, not the positions
        stages = Stages(self.reduction, arch, video, self.observer, self._unchecked and not video.is_meta)
        tokens = stages.run("before", 1, Tokens(x))
        for number, factors in enumerate(self._factors(x, branches), 1):
            tokens = self._block(number, tokens, factors, stages)
        if stages.check:
            self._unchecked = False
        return self.head(self.fc_norm(tokens.pooled(count if self.reduction.by_size else 0)))

    def _block(self, number: int, tokens: Tokens, factors: Tensor | None, stages: Stages) -> Tokens:
        """Block `number`, counted from 1, and the stage in or after it."""
        block: Any = self.blocks[number - 1]
        of_attention, of_mlp = (None, None) if factors is None else factors.unbind(1)
        bias = tokens.log_sizes() if self.reduction.proportional else None
        context = Context(stages.asks(number), bias, tokens.lengths)
        if stages.acts("between", number):
            x, asked = self._run(block.attend, tokens.x, context, tokens.spread(of_attention))
            tokens = stages.run("between", number, tokens.with_x(x), asked)
            return tokens.with_x(self._run(block.transform, tokens.x, tokens.spread(of_mlp)))
        x, asked = self._run(block, tokens.x, context, tokens.spread(of_attention), tokens.spread(of_mlp))
        return stages.run("after", number, tokens.with_x(x), asked)

    def _run(self, layers: Callable[..., Any], *given: Any) -> Any:
        if self.training and self.activation_checkpointing:
            # No random numbers are drawn in a block, so none need be drawn again.
            return checkpoint(layers, *given, use_reentrant=False, preserve_rng_state=False)
        return layers(*given)

    def _factors(self, x: Tensor, branches: Tensor | None) -> Sequence[Tensor | None]:
        """What each block multiplies its branches by, (B, 2): 0, or what keeps their expected value; None: nothing."""
        depth = self.arch.depth
        if not self.training or not self.drop_path:
            return [None] * depth
        if branches is None or branches.shape != (len(x), 2 * depth):
            given = "none" if branches is None else tuple(branches.shape)
            raise ValueError(f"stochastic depth needs branches of the shape {(len(x), 2 * depth)}, got {given}")
        rates = torch.linspace(0, self.drop_path, depth, device=branches.device)[:, None, None]
        numbers = branches.unflatten(1, (depth, 2)).transpose(0, 1)
        return ((numbers >= rates) / (1 - rates)).to(x.dtype).unbind()


def sinusoid(count: int, dim: int) -> Tensor:
    """Fixed sine-cosine positions (1, count, dim), as in VideoMAE."""
    # NumPy, because torch.arange on the meta device makes torch import its compiler, which takes seconds.
    angle = np.arange(count)[:, None] * 10000.0 ** (-np.arange(0, dim, 2) / dim)
    return torch.tensor(np.stack((np.sin(angle), np.cos(angle)), -1).reshape(1, count, dim), dtype=torch.float32)


def _initialise(module: nn.Module) -> None:
    """Xavier's rule all through, the patch projection seen as a matrix, and no biases (MAE, section A.1).

    A fixed deviation, as VideoMAE's 0.02 for fine-tuning, suits large widths only and starves a narrow model of signal.
    """
    if isinstance(module, nn.Linear | nn.Conv3d):
        with torch.no_grad():
            nn.init.xavier_uniform_(module.weight.flatten(1))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def create_model(name: str, reduction: str = "none", num_classes: int | None = None) -> VisionTransformer:
    """The model called `name`, randomly initialised, in float32.

    reduction: as `sta:r=48`; `model.set_reduction` switches it later. num_classes: the architecture's own unless given.
    ValueError where a name or a setting is not valid.
    """
    arch = architecture(name)
    reduction_on(reduction, arch)
    model = VisionTransformer(arch, num_classes or arch.num_classes)
    model.set_reduction(reduction)
    return model
