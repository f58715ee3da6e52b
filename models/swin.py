"""The Video Swin Transformer (Liu et al., CVPR 2022), and on it reductions that keep some tokens of each slot.

Parameter names are torchvision's. One set of weights serves every reduction. The dropout of the original's head, 0.5 in
training, is left out, as in torchvision.

STA on it (Ding et al., ICCV 2023) has no public code. What the paper leaves open is decided in one of the ways that
give the printed GFLOPs, and marked "Open" below. Open too: slots are visited forward, backward, forward at the three
stages; the second one visited sees all tokens of the first; of the first the odd positions and then the even ones by
ascending similarity are ranked, and the last r go, also where r is more than there are even ones; and 1.5·r/4 and
2·r/16 are rounded down.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.catalog import VideoSwin
from models.forks import forks, in_order
from models.stages import Stages, mean_of_heads
from models.swin_weights import published
from models.tokens import Tokens
from models.video_model import VideoModel, initialise
from models.windows import Grid, Windows, nearness, relative_positions, windows


@dataclass(frozen=True)
class Kept:
    """Which of a grid's positions have a token left."""

    grid: Grid
    at: Tensor | None = None
    """(B, M) the positions of the tokens that are left; None: all, in their order."""
    source: Tensor | None = None
    """(B, N) for each position the index of the token that stands for it: its own, or the nearest in its slot."""

    def fill(self, x: Tensor) -> Tensor:
        """Tokens (B, M, C) on all positions of the grid: (B, T, H, W, C)."""
        return (x if self.source is None else _rows(x, self.source)).unflatten(1, self.grid)


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch stand in the windows of a block."""

    windows: Windows
    tokens: Tensor
    """(W · B · P,) for each place of W windows of B clips, the row of the flat tokens (B · M, C) that stands there; the
    row behind them where it is padding. Windows come first and clips second: those of one mask then lie together."""
    places: Tensor
    """(B · M,) for each token the place that is its own."""

    @classmethod
    def of(cls, kept: Kept, x: Tensor, window: Grid, shifted: bool) -> "Layout":
        """Of the tokens (B, M, C) that are left."""
        batch, count, device = len(x), x.shape[1], x.device
        cut = windows(kept.grid, window, shifted, device)
        found, inside = cut.order.shape
        clip = torch.arange(batch, device=device)[:, None]
        order = cut.order.flatten()
        whole = order.clamp_max(len(cut.place) - 1)
        tokens = (whole[None] if kept.source is None else kept.source[:, whole]) + clip * count
        if cut.padded:
            tokens = torch.where(order == len(cut.place), batch * count, tokens)
        tokens = tokens.expand(batch, -1).unflatten(1, (found, inside)).transpose(0, 1).flatten()
        place = cut.place[None].expand(batch, -1) if kept.at is None else cut.place[kept.at]
        return cls(cut, tokens, ((place // inside * batch + clip) * inside + place % inside).flatten())


class PatchEmbed(nn.Module):
    """Cuts a clip (B, 3, T, H, W) into tubelets: (B, slots, rows, columns, C)."""

    def __init__(self, arch: VideoSwin) -> None:
        super().__init__()
        size, dim = (arch.tubelet, arch.patch, arch.patch), arch.levels[0].dim
        self.proj = nn.Conv3d(3, dim, size, size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, video: Tensor) -> Tensor:
        return self.norm(self.proj(video).permute(0, 2, 3, 4, 1).contiguous())


class PatchMerging(nn.Module):
    """Merges 2 × 2 positions of a slot into one, twice as wide; odd sides are padded with zeros."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, H, W, C) → (B, T, H/2, W/2, 2C)."""
        return self.reduction(self.norm(torch.cat(_quarters(x), -1)))


class WindowAttention(nn.Module):
    """Multi-head self-attention in windows, with a bias for each relative position.

    A position without a token takes query, key and value of the nearest that is left in its slot, and counts as a token
    of its own, with the bias and the mask of its place; its output is dropped. Open: nearest by squared distance of row
    and column, of equals the lowest position.
    """

    def __init__(self, dim: int, heads: int, window: Grid) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        rows = (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.empty(rows, heads))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, layout: Layout, asked: bool) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, M, C) that are left → the same, and, if asked for, their keys (B, M, D) as in `Seen`."""
        batch, inside = len(x), layout.windows.order.shape[1]
        qkv = self.qkv(x)
        tokens = qkv.flatten(0, 1)
        if layout.windows.padded:  # zeros before the linear layer, its bias after it
            tokens = torch.cat((tokens, self.qkv.bias[None].to(tokens.dtype)))
        parts = tokens.index_select(0, layout.tokens).view(-1, inside, 3, self.heads, x.shape[2] // self.heads)
        index = relative_positions(self.window, x.device)[:inside, :inside]
        # The fused kernels of GPUs want the last dimension dense.
        bias = self.relative_position_bias_table[index].permute(2, 0, 1).contiguous()
        mixed = []
        for first, end, apart in layout.windows.groups:
            q, k, v = parts[first * batch : end * batch].permute(2, 0, 3, 1, 4)
            seen = bias if apart is None else bias.masked_fill(apart, -torch.inf)
            attention = F.scaled_dot_product_attention(q, k, v, attn_mask=seen[None].to(q.dtype))
            mixed.append(attention.transpose(1, 2).flatten(0, 1).flatten(1))
        out = self.proj(torch.cat(mixed).index_select(0, layout.places).view_as(x))
        return out, mean_of_heads(qkv.detach().unflatten(-1, (3, self.heads, -1))[..., 1, :, :], 2) if asked else None


class Block(nn.Module):
    """A pre-norm transformer block, on the tokens that are left."""

    def __init__(self, dim: int, heads: int, window: Grid) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        # torchvision's numbers; its dropout, 2 and 4, has a rate of 0.
        self.mlp = nn.ModuleDict({"0": nn.Linear(dim, 4 * dim), "3": nn.Linear(4 * dim, dim)})

    def forward(
        self, x: Tensor, layout: Layout, asked: bool = False, factors: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(B, M, C) → the same, and the keys of attention if asked for. factors: (B, 2) by which the branches are
        multiplied."""
        of_attention, of_mlp = (None, None) if factors is None else factors[:, :, None, None].unbind(1)
        branch, keys = self.attn(self.norm1(x), layout, asked)
        x = x + (branch if of_attention is None else branch * of_attention)
        branch = self.mlp["3"](F.gelu(self.mlp["0"](self.norm2(x))))
        return x + (branch if of_mlp is None else branch * of_mlp), keys


class SwinTransformer(VideoModel):
    """The network. A stage of a reduction runs before the first block of each level but the first, on the whole grid of
    the level: positions without a token are filled before 2 × 2 are merged (Open)."""

    arch: VideoSwin
    _whole: VideoSwin

    def __init__(self, arch: VideoSwin, num_classes: int) -> None:
        super().__init__(arch, num_classes)
        self.patch_embed = PatchEmbed(arch)
        features: list[nn.Module] = []
        for number, level in enumerate(arch.levels):
            if number:
                features.append(PatchMerging(arch.levels[number - 1].dim))
            features.append(nn.ModuleList(Block(level.dim, level.heads, arch.window) for _ in range(level.depth)))
        self.features = nn.ModuleList(features)
        self.norm = nn.LayerNorm(arch.levels[-1].dim)
        self.head = nn.Linear(arch.levels[-1].dim, num_classes)
        self.apply(initialise)
        for module in self.modules():
            if isinstance(module, WindowAttention):
                nn.init.trunc_normal_(module.relative_position_bias_table, std=0.02)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        return {
            "stem": r"^patch_embed\.",
            "blocks": [(r"^features\.(\d+)\.(\d+)\.", None), (r"^features\.(\d+)\.[rn]", None)],
        }

    def no_weight_decay(self) -> set[str]:
        return {name for name, _ in self.named_parameters() if name.endswith("relative_position_bias_table")}

    def fine_tuned(self, path: Path, stride: int | None) -> dict[str, Tensor]:
        return published(path, self._whole, relative_positions(self._whole.window, torch.device("cpu")))

    def logits(self, video: Tensor, stages: Stages, branches: Tensor | None) -> Tensor:
        return self.shared_logits(video, [stages], branches)[0]

    def shared_logits(self, video: Tensor, passes: Sequence[Stages], branches: Tensor | None = None) -> list[Tensor]:
        embedded = self.patch_embed(video)
        factors, first_blocks = self.factors(embedded, branches), list(self.arch.starts)
        ends: list[tuple[Stages, Tensor]] = []
        open_levels = [(0, list(passes), embedded.flatten(1, 3), Kept(self.arch.grid(1)))]
        while open_levels:
            level, alike, x, kept = open_levels.pop()
            blocks, first = self.features[2 * level], first_blocks[level]
            assert isinstance(blocks, nn.ModuleList)
            end = first + len(blocks)
            keys, asked = None, any(one.acts("before", end) for one in alike)
            layouts = [Layout.of(kept, x, self.arch.window, shifted) for shifted in (False, True)[: len(blocks)]]
            for number, block in enumerate(blocks, first):
                last = asked and number == end - 1
                x, keys = self.run(block, x, layouts[(number - first) % 2], last, factors[number - 1])
            if level + 1 < len(first_blocks):
                open_levels += [(level + 1, *part) for part in self._merge(level, x, keys, kept, alike, end)]
                continue
            for one in alike:
                one.end(Tokens(x))
                # Open: the mean of the tokens that are left, not of the filled grid.
                ends.append((one, self.head(self.norm(x).mean(1))))
        return in_order(passes, ends)

    def _merge(
        self, level: int, x: Tensor, keys: Tensor | None, kept: Kept, passes: list[Stages], block: int
    ) -> list[tuple[list[Stages], Tensor, Kept]]:
        """The tokens (B, M, C) of the level after `level`, before its first block `block`, where stages may run; of
        passes whose stages keep the same ones together.

        Open: a stage goes by the keys of the block before, averaged over heads and over the positions merged into one.
        """
        x = self.features[2 * level + 1](kept.fill(x)).flatten(1, 3)
        kept_all = Kept((kept.grid[0], -(-kept.grid[1] // 2), -(-kept.grid[2] // 2)))
        if keys is None:
            return [(passes, x, kept_all)]
        mean = torch.stack(_quarters(kept.fill(keys))).mean(0).flatten(1, 3)
        parts = []
        for fork in forks(passes, "before", block, Tokens(x), [{"keys": mean[:, None]}]):
            (choice,) = fork.choices
            if choice is None:
                parts.append((fork.passes, x, kept_all))
            else:
                left = replace(kept_all, at=choice.kept, source=_nearest(choice.kept, kept_all.grid))
                parts.append((fork.passes, _rows(x, choice.kept), left))
        return parts


def _quarters(x: Tensor) -> list[Tensor]:
    """Of (B, T, H, W, C) the positions of each 2 × 2, in the order (0, 0), (1, 0), (0, 1), (1, 1) of row and column."""
    x = F.pad(x, (0, 0, 0, x.shape[3] % 2, 0, x.shape[2] % 2))
    return [x[:, :, row::2, column::2] for column in (0, 1) for row in (0, 1)]


def _rows(x: Tensor, at: Tensor) -> Tensor:
    """(B, M, C) of (B, N, C) at the positions (B, M)."""
    first = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
    return x.flatten(0, 1).index_select(0, (at + first).flatten()).unflatten(0, at.shape)


def _nearest(at: Tensor, grid: Grid) -> Tensor:
    """(B, N) for each position the index of its token, or of the nearest that is left in its slot; `at` (B, M) are the
    positions of those, equally many in each slot."""
    slots, count = grid[0], grid[1] * grid[2]
    own = at.unflatten(1, (slots, -1)) % count  # (B, T, K), in any order
    index = torch.arange(at.shape[1], device=at.device).view(slots, -1).expand(own.shape)
    source = own.new_full((*own.shape[:2], count), -1).scatter(2, own, index)
    gone = count - own.shape[2]
    if gone:
        order = source.lt(0).to(torch.int8).argsort(dim=2, descending=True, stable=True)
        dropped = order[..., :gone]
        near = nearness(grid[1], at.device)
        nearest = near[dropped[..., :, None], own[..., None, :]].amin(-1) % count
        source = source.scatter(2, dropped, source.gather(2, nearest))
    return source.flatten(1)
