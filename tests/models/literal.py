"""A ViT read literally, for one clip at a time: NumPy in float64, one token and one head after another."""

import math

import numpy as np
import torch


def weights_of(state):
    """A state dict as float64 arrays."""
    return {name: tensor.double().numpy() for name, tensor in state.items()}


def embed(w, clip, arch):
    """(3, F, H, W) → the tokens (N, C) before the first block, slot by slot and row by row."""
    p, t = arch.patch, arch.tubelet
    side = arch.image // p
    tokens = []
    for slot in range(arch.slots):
        for row in range(side):
            for column in range(side):
                cut = np.s_[:, slot * t : slot * t + t, row * p : row * p + p, column * p : column * p + p]
                patch = clip.double().numpy()[cut]
                tokens.append((w["patch_embed.proj.weight"] * patch).sum((1, 2, 3, 4)) + w["patch_embed.proj.bias"])
    x = np.array(tokens)
    for position in range(len(x)):
        for c in range(arch.dim):
            angle = position / 10000 ** (2 * (c // 2) / arch.dim)
            x[position, c] += np.float32(math.sin(angle) if c % 2 == 0 else math.cos(angle))
    return x


def attend(x, w, heads, log_sizes=0.0):
    """The first half of a block, (N, C) → the same; the keys and the attention (without sizes), both averaged over
    heads."""
    dim = x.shape[1]
    width = dim // heads
    normed = layer_norm(x, w["norm1.weight"], w["norm1.bias"])
    q = normed @ w["attn.qkv.weight"][:dim].T + w["attn.q_bias"]
    k = normed @ w["attn.qkv.weight"][dim : 2 * dim].T
    v = normed @ w["attn.qkv.weight"][2 * dim :].T + w["attn.v_bias"]
    mixed, looks = np.zeros_like(x), []
    for head in range(heads):
        part = slice(head * width, head * width + width)
        logits = q[:, part] @ k[:, part].T / math.sqrt(width)
        mixed[:, part] = softmax(logits + log_sizes) @ v[:, part]
        looks.append(softmax(logits))
    x = x + mixed @ w["attn.proj.weight"].T + w["attn.proj.bias"]
    keys = sum(k[:, head * width : head * width + width] for head in range(heads)) / heads
    return x, keys, sum(looks) / heads


def transform(x, w):
    """The second half of a block, (N, C) → the same."""
    hidden = layer_norm(x, w["norm2.weight"], w["norm2.bias"]) @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"]
    hidden = torch.nn.functional.gelu(torch.from_numpy(hidden)).numpy()
    return x + hidden @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"]


def classify(pooled, w):
    """(C,) → logits."""
    return w["head.weight"] @ layer_norm(pooled, w["fc_norm.weight"], w["fc_norm.bias"]) + w["head.bias"]


def of_block(w, number):
    """The weights of block `number`, counted from 0."""
    prefix = f"blocks.{number}."
    return {name.removeprefix(prefix): one for name, one in w.items() if name.startswith(prefix)}


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def softmax(logits):
    scores = np.exp(logits)
    return scores / scores.sum(1, keepdims=True)


def layer_norm(x, weight, bias, eps=1e-6):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * weight + bias
