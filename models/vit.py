"""The ViT that VideoMAE fine-tunes: no class token, fixed positions, mean pooling; any reduction between its blocks.

Parameter names are VideoMAE's, so its checkpoints load as they are. One set of weights serves every reduction.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.catalog import ViT
from models.forks import Fork, by, forks, in_order
from models.layers import Block, Context
from models.stages import Stages
from models.tokens import Tokens
from models.video_model import VideoModel, initialise
from models.videomae_weights import fine_tuned, pre_trained


class PatchEmbed(nn.Module):
    """Cuts a clip (B, 3, T, H, W) into tubelets: (B, slots · patches, C), slot by slot."""

    def __init__(self, arch: ViT) -> None:
        super().__init__()
        size = (arch.tubelet, arch.patch, arch.patch)
        self.proj = nn.Conv3d(3, arch.levels[0].dim, size, size)

    def forward(self, video: Tensor) -> Tensor:
        # Without contiguous() every later tensor would keep the transposed strides, and each LayerNorm copy it.
        return self.proj(video).flatten(2).transpose(1, 2).contiguous()


class VisionTransformer(VideoModel):
    """The network."""

    arch: ViT
    positions: Tensor
    """Of all tokens of a whole clip: (1, slots · patches, C)."""

    def __init__(self, arch: ViT, num_classes: int) -> None:
        super().__init__(arch, num_classes)
        (level,) = arch.levels
        self._first_slot = 0
        self.patch_embed = PatchEmbed(arch)
        self.register_buffer("positions", sinusoid(arch.slots * arch.tokens_per_slot, level.dim), persistent=False)
        self.blocks = nn.ModuleList(Block(level.dim, level.heads) for _ in range(level.depth))
        self.fc_norm = nn.LayerNorm(level.dim, eps=1e-6)
        self.head = nn.Linear(level.dim, num_classes)
        self.apply(initialise)

    def set_frames(self, frames: int, slot: int = 0) -> None:
        super().set_frames(frames, slot)
        self._first_slot = slot

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """As VideoMAE's: patch_embed is 0, block i (from 0) is i + 1, and fc_norm and head share the last."""
        return {"stem": r"^patch_embed\.", "blocks": r"^blocks\.(\d+)\."}

    def fine_tuned(self, path: Path, stride: int | None) -> dict[str, Tensor]:
        return fine_tuned(path, self.arch, stride)

    def pre_trained(self, path: Path) -> dict[str, Tensor]:
        return pre_trained(path, self.arch)

    def logits(self, video: Tensor, stages: Stages, branches: Tensor | None) -> Tensor:
        return self.shared_logits(video, [stages], branches)[0]

    def shared_logits(self, video: Tensor, passes: Sequence[Stages], branches: Tensor | None = None) -> list[Tensor]:
        arch = self.arch
        x = self.patch_embed(video)
        first, count = self._first_slot * arch.tokens_per_slot, arch.slots * arch.tokens_per_slot
        x = x + self.positions[:, first : first + count]
        x = x.to(self.fc_norm.weight.dtype)  # DeepSpeed converts parameters alone, not the positions
        factors = [(None, None) if one is None else one.unbind(1) for one in self.factors(x, branches)]
        ends: list[tuple[Stages, Tensor]] = []
        open_forks = forks(passes, "before", 1, Tokens(x))
        while open_forks:
            fork = open_forks.pop()
            tokens, block = fork.tokens(), fork.block + (fork.place == "after")
            if fork.place == "between":
                half: Any = self.blocks[block - 1]
                left = self.run(half.transform, tokens.x, tokens.spread(factors[block - 1][1]))
                open_forks += forks(fork.passes, "after", block, tokens.with_x(left))
            elif block <= arch.depth:
                for alike in by(fork.passes, partial(_way, block)):
                    open_forks += self._block(block, tokens, alike, *factors[block - 1])
            else:
                for one in fork.passes:
                    one.end(tokens)
                    pooled = tokens.pooled(count if one.reduction.by_size else 0)
                    ends.append((one, self.head(self.fc_norm(pooled))))
        return in_order(passes, ends)

    def _block(
        self, number: int, tokens: Tokens, passes: list[Stages], of_attention: Tensor | None, of_mlp: Tensor | None
    ) -> list[Fork]:
        """Block `number`, counted from 1, to the place of the stages in or after it; all passes run it the same way."""
        block: Any = self.blocks[number - 1]
        bias = tokens.log_sizes() if passes[0].reduction.proportional else None
        asks = tuple(dict.fromkeys(name for one in passes for name in one.asks(number)))
        context = Context(asks, bias, tokens.lengths)
        run = partial(self.run, packed=tokens.lengths is not None)
        if passes[0].acts("between", number):
            x, asked = run(block.attend, tokens.x, context, tokens.spread(of_attention))
            return forks(passes, "between", number, tokens.with_x(x), asked)
        x, asked = run(block, tokens.x, context, tokens.spread(of_attention), tokens.spread(of_mlp))
        return forks(passes, "after", number, tokens.with_x(x), asked)


def _way(block: int, stages: Stages) -> tuple[bool, bool, bool]:
    """How a pass runs a block: in halves, with its attention's matrix, with sizes in its attention."""
    return stages.acts("between", block), "attention" in stages.asks(block), stages.reduction.proportional


def sinusoid(count: int, dim: int) -> Tensor:
    """Fixed sine-cosine positions (1, count, dim), as in VideoMAE."""
    # NumPy, because torch.arange on the meta device makes torch import its compiler, which takes seconds.
    angle = np.arange(count)[:, None] * 10000.0 ** (-np.arange(0, dim, 2) / dim)
    return torch.tensor(np.stack((np.sin(angle), np.cos(angle)), -1).reshape(1, count, dim), dtype=torch.float32)
