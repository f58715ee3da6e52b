"""The ViT that VideoMAE fine-tunes: no class token, fixed positions, mean pooling; any reduction between its blocks.

Parameter names are VideoMAE's, so its checkpoints load as they are. One set of weights serves every reduction.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.catalog import Architecture, architecture
from models.reduction import Reduction, parse


class Attention(nn.Module):
    """Multi-head self-attention whose bias is (q_bias, 0, v_bias)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, C) → the same, and the keys (B, heads, N, C / heads)."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
        qkv = F.linear(x, self.qkv.weight, bias)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).flatten(2)), k


class Mlp(nn.Module):
    """The two-layer perceptron of a block, four times as wide inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim)

    def forward(self, x: Tensor, factors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, N, C) → the same, and the attention keys (B, heads, N, C / heads).

        factors: (B, 2), what the two branches of each sample are multiplied by.
        """
        mixed, keys = self.attn(self.norm1(x))
        x = x + _scaled(mixed, factors, 0)
        return x + _scaled(self.mlp(self.norm2(x)), factors, 1), keys


def _scaled(branch: Tensor, factors: Tensor | None, number: int) -> Tensor:
    return branch if factors is None else branch * factors[:, number, None, None]


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
    observer: Callable[[int, Tensor, dict[str, Tensor]], None] | None
    """Called with each stage of a forward pass: its number, counted from 1, what was kept, and the reduction's
    `maps`."""

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
        """Switch to the reduction that `text` names, as `sta:r=48`; ValueError where it does not fit this model."""
        reduction = parse(text)
        reduction.check(self.arch)
        self.reduction: Reduction = reduction

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
        first = self._first_slot * arch.tokens_per_slot
        x = x + self.positions[:, first : first + arch.slots * arch.tokens_per_slot]
        x = x.to(self.patch_embed.proj.weight.dtype)  # DeepSpeed converts parameters alone, not the positions
        slots, stages = arch.slots, self.reduction.stages(arch.depth)
        for number, (block, factors) in enumerate(zip(self.blocks, self._factors(x, branches), strict=True), 1):
            if self.training and self.activation_checkpointing:
                # A block draws no random numbers, so none need be drawn again.
                x, keys = checkpoint(block, x, factors, use_reentrant=False, preserve_rng_state=False)
            else:
                x, keys = block(x, factors)
            if number in stages:
                x = self._reduce(x.unflatten(1, (slots, -1)), keys, stages.index(number) + 1)
                slots = max(slots // 2, 1)
        return self.head(self.fc_norm(x.mean(1)))

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

    def _reduce(self, tokens: Tensor, keys: Tensor, stage: int) -> Tensor:
        """One stage: tokens (B, T, N, C) → the kept ones (B, T · kept, C), neighbouring slots now side by side."""
        # Which tokens stay is decided in at least float32, also under mixed precision; no gradient flows through it.
        dtype = torch.promote_types(tokens.dtype, torch.float32)
        with torch.no_grad(), _full_precision(tokens.device.type):
            m = F.normalize(keys.to(dtype).mean(1), dim=-1).unflatten(1, tokens.shape[1:3])
            given = tokens.to(dtype), m, stage
            kept = self.reduction.keep(*given)
            if self.observer:
                self.observer(stage, kept, self.reduction.maps(*given, kept))
        return take(tokens, kept)


def take(tokens: Tensor, kept: Tensor) -> Tensor:
    """Of tokens (B, T, N, …) those at the positions `kept` (B, T, K) of their slot: (B, T · K, …), slot by slot."""
    positions = kept.reshape(*kept.shape, *(1,) * (tokens.dim() - 3))
    return tokens.gather(2, positions.expand(*kept.shape, *tokens.shape[3:])).flatten(1, 2)


def sinusoid(count: int, dim: int) -> Tensor:
    """Fixed sine-cosine positions (1, count, dim), as in VideoMAE."""
    # NumPy, because torch.arange on the meta device makes torch import its compiler, which takes seconds.
    angle = np.arange(count)[:, None] * 10000.0 ** (-np.arange(0, dim, 2) / dim)
    return torch.tensor(np.stack((np.sin(angle), np.cos(angle)), -1).reshape(1, count, dim), dtype=torch.float32)


def _full_precision(device: str) -> AbstractContextManager[Any]:
    """Switches automatic mixed precision off on devices that have it (the meta device has not)."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


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
    parse(reduction).check(arch)
    model = VisionTransformer(arch, num_classes or arch.num_classes)
    model.set_reduction(reduction)
    return model
