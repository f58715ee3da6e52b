"""The layers of a transformer block, on the tokens of a batch of clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Asked = dict[str, Tensor]
"""What was asked of an attention, by name: keys, queries and values (B, heads, N, D); attention (B, 1, N, N), averaged
over heads."""


@dataclass(frozen=True)
class Context:
    """What a block is to know beside its tokens."""

    asks: tuple[str, ...] = ()
    """Which of a reduction's needs its attention answers: keys, queries, values, attention."""
    bias: Tensor | None = None
    """(B, 1, 1, N) what is added to the scaled logits of each key."""
    lengths: tuple[int, ...] | None = None
    """Of the clips, where they are packed into one sequence."""


ALONE = Context()


class Attention(nn.Module):
    """Multi-head self-attention whose bias is (q_bias, 0, v_bias)."""

    k_bias: Tensor

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("k_bias", torch.zeros(dim), persistent=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Context = ALONE) -> tuple[Tensor, list[Asked]]:
        """(B, N, C) → the same, and for each piece of the batch what `context` asks for."""
        # A training in half precision converts parameters only.
        bias = torch.cat((self.q_bias, self.k_bias.to(self.q_bias.dtype), self.v_bias))
        qkv = F.linear(x, self.qkv.weight, bias)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if context.lengths is None:
            mixed, asked = _mix(q, k, v, context.bias, context.asks)
            found = [asked]
        else:
            mixed, found = _mix_packed(q, k, v, context, context.lengths)
        return self.proj(mixed.transpose(1, 2).flatten(2)), found


class Mlp(nn.Module):
    """The two-layer perceptron of a block, four times as wide inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm transformer block, in two halves between which tokens may be merged."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim)

    def attend(self, x: Tensor, context: Context, factor: Tensor | None = None) -> tuple[Tensor, list[Asked]]:
        """The first half: (B, N, C) → the same, and what `context` asks for. factor: what the branch is multiplied
        by."""
        mixed, asked = self.attn(self.norm1(x), context)
        return x + (mixed if factor is None else mixed * factor), asked

    def transform(self, x: Tensor, factor: Tensor | None = None) -> Tensor:
        """The second half: (B, N, C) → the same."""
        branch = self.mlp(self.norm2(x))
        return x + (branch if factor is None else branch * factor)

    def forward(
        self, x: Tensor, context: Context = ALONE, of_attention: Tensor | None = None, of_mlp: Tensor | None = None
    ) -> tuple[Tensor, list[Asked]]:
        """Both halves, each with its factor."""
        x, asked = self.attend(x, context, of_attention)
        return self.transform(x, of_mlp), asked


def _mix(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, asks: Sequence[str]) -> tuple[Tensor, Asked]:
    """Attention of (B, heads, N, D) tensors; explicit only where its matrix is asked for."""
    asked = _asked(q, k, v, asks)
    if "attention" not in asks:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias.to(q.dtype)), asked
    dtype = torch.promote_types(q.dtype, torch.float32)
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    plain = logits.softmax(dim=-1, dtype=dtype)
    asked["attention"] = plain.detach().mean(1, keepdim=True)
    weights = plain if bias is None else (logits + bias).softmax(dim=-1, dtype=dtype)
    return weights.to(v.dtype) @ v, asked


def _mix_packed(
    q: Tensor, k: Tensor, v: Tensor, context: Context, lengths: tuple[int, ...]
) -> tuple[Tensor, list[Asked]]:
    """Attention of clips of different lengths in one sequence: the tokens of each look at their own only."""
    clips = list(zip(q.split(lengths, 2), k.split(lengths, 2), v.split(lengths, 2), strict=True))
    if by_one_kernel(q, context):
        return mix_in_one(q, k, v, lengths), [_asked(*clip, context.asks) for clip in clips]
    biases = [None] * len(lengths) if context.bias is None else context.bias.split(lengths, 3)
    pairs = [_mix(*clip, bias, context.asks) for clip, bias in zip(clips, biases, strict=True)]
    return torch.cat([pair[0] for pair in pairs], 2), [pair[1] for pair in pairs]


def by_one_kernel(q: Tensor, context: Context) -> bool:
    """Whether a kernel takes clips of different lengths at a time: torch has such kernels for GPUs, in float32 and
    narrower types, without biases."""
    plain = context.bias is None and "attention" not in context.asks
    return plain and q.is_cuda and q.dtype != torch.float64


def mix_in_one(q: Tensor, k: Tensor, v: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Attention of packed clips (1, heads, ΣN, D) by one kernel, which torch chooses as for clips of one length."""
    places = offsets(lengths, q.device)

    def nested(x: Tensor) -> Tensor:
        rows = x[0].transpose(0, 1).contiguous()
        shortest, longest = min(lengths), max(lengths)  # else the host would wait to read them
        jagged = torch.nested.nested_tensor_from_jagged(rows, places, min_seqlen=shortest, max_seqlen=longest)
        return jagged.transpose(1, 2)

    mixed = F.scaled_dot_product_attention(nested(q), nested(k), nested(v))
    return mixed.transpose(1, 2).values().transpose(0, 1)[None]


@lru_cache(maxsize=4)
def offsets(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Where each clip begins, and the last ends; made once for the blocks of a forward pass."""
    with torch.inference_mode(False):
        return torch.tensor([0, *accumulate(lengths)]).to(device, non_blocking=True)


def _asked(q: Tensor, k: Tensor, v: Tensor, asks: Sequence[str]) -> Asked:
    return {name: one for name, one in (("queries", q), ("keys", k), ("values", v)) if name in asks}
