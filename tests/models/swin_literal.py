"""A Video Swin with STA read literally, for one clip: NumPy in float64, one window place and one head after another."""

import math
from itertools import product

import numpy as np

from tests.models.literal import layer_norm


def logits(w, clip, arch, r1):
    """(classes,) of a clip (3, F, H, W), and of each stage the positions kept, a list a slot."""
    x, grid = embed(w, clip, arch)
    kept, all_kept, keys = list(range(len(x))), [], x
    for number, level in enumerate(arch.levels, 1):
        if number > 1:
            x, keys, grid = merge(w, f"features.{2 * number - 3}.", fill(x, kept, grid), fill(keys, kept, grid), grid)
            kept = list(range(len(x)))
            if r1:
                drop = int((r1, 1.5 * r1 / 4, 2 * r1 / 16)[number - 2])
                slots = stage(
                    x.reshape(grid[0], -1, x.shape[1]), keys.reshape(grid[0], -1, keys.shape[1]), number, drop
                )
                all_kept.append(slots)
                kept = [slot * grid[1] * grid[2] + place for slot, places in enumerate(slots) for place in places]
                x = x[kept]
        for k in range(level.depth):
            parameters = {
                name.removeprefix(f"features.{2 * number - 2}.{k}."): value
                for name, value in w.items()
                if name.startswith(f"features.{2 * number - 2}.{k}.")
            }
            x, keys = block(x, parameters, kept, grid, arch.window, level.heads, k % 2 == 1)
    pooled = layer_norm(x, w["norm.weight"], w["norm.bias"], 1e-5).mean(0)
    return w["head.weight"] @ pooled + w["head.bias"], all_kept


def embed(w, clip, arch):
    """The tokens (N, C) of a clip, slot by slot and row by row, and the grid."""
    t, p, side = arch.tubelet, arch.patch, arch.image // arch.patch
    tokens = []
    for slot, row, column in product(range(arch.slots), range(side), range(side)):
        cut = clip[:, slot * t : slot * t + t, row * p : row * p + p, column * p : column * p + p]
        tokens.append((w["patch_embed.proj.weight"] * cut).sum((1, 2, 3, 4)) + w["patch_embed.proj.bias"])
    x = layer_norm(np.array(tokens), w["patch_embed.norm.weight"], w["patch_embed.norm.bias"], 1e-5)
    return x, (arch.slots, side, side)


def fill(x, kept, grid):
    """Each position of the grid takes its own token, or that of the nearest kept position in its slot."""
    own = {position: x[number] for number, position in enumerate(kept)}
    filled = []
    for position in range(grid[0] * grid[1] * grid[2]):
        slot, row, column = place(position, grid)
        best = None
        for other in sorted(kept):
            if other // (grid[1] * grid[2]) == slot:
                _, y, z = place(other, grid)
                apart = (row - y) ** 2 + (column - z) ** 2
                if best is None or apart < best[0]:
                    best = apart, other
        filled.append(own[best[1]])
    return np.array(filled)


def place(position, grid):
    return position // (grid[1] * grid[2]), position // grid[2] % grid[1], position % grid[2]


def merge(w, name, x, keys, grid):
    """2 × 2 positions into one; zeros beyond an odd side. Keys of the four are averaged and normalised."""
    slots, rows, columns = grid
    after = slots, -(-rows // 2), -(-columns // 2)
    merged, means = [], []
    for slot, row, column in product(*map(range, after)):
        four, their_keys = [], []
        for dx, dy in product((0, 1), (0, 1)):
            y, z = 2 * row + dy, 2 * column + dx
            inside = y < rows and z < columns
            position = (slot * rows + y) * columns + z
            four.append(x[position] if inside else np.zeros(x.shape[1]))
            their_keys.append(keys[position] if inside else np.zeros(keys.shape[1]))
        merged.append(np.concatenate(four))
        mean = np.mean(their_keys, 0)
        means.append(mean / max(np.linalg.norm(mean), 1e-12))
    normed = layer_norm(np.array(merged), w[f"{name}norm.weight"], w[f"{name}norm.bias"], 1e-5)
    return normed @ w[f"{name}reduction.weight"].T, np.array(means), after


def stage(tokens, keys, number, drop):
    """STA (Ding et al., ICCV 2023, section 3) on (T, N, C) tokens and (T, N, D) keys: the kept positions of each slot,
    ascending. Stages 1, 3, … go forward, the others backward."""
    slots, count = tokens.shape[:2]
    order = list(range(slots)) if number % 2 == 0 else list(reversed(range(slots)))  # level 2 has stage 1
    kept, previous, mass = {}, None, None
    for step, slot in enumerate(order):
        norm = np.abs(tokens[slot]).sum(1)
        importance = (norm - norm.min()) / max(norm.max() - norm.min(), 1e-12)
        if step == 0:
            likeness = {even: max(keys[slot][even] @ keys[slot][odd] for odd in range(1, count, 2))
                        for even in range(0, count, 2)}  # fmt: skip
            ranked = [*range(1, count, 2), *sorted(likeness, key=lambda even: likeness[even])]
            kept[slot] = sorted(ranked[: count - drop])
            previous, mass = keys[slot], np.ones(count)
            continue
        spread = np.zeros(count)
        for m, key in zip(mass, previous, strict=True):
            weights = np.exp(keys[slot] @ key)
            spread += m * weights / weights.sum()
        score = spread * (1 - importance)
        kept[slot] = sorted(sorted(range(count), key=lambda n: score[n])[: count - drop])
        mass = spread[kept[slot]] / spread[kept[slot]].sum()
        previous = keys[slot][kept[slot]]
    return [kept[slot] for slot in range(slots)]


def block(x, w, kept, grid, window, heads, shifted):
    """A block on the kept tokens (M, C): the same, and their keys, averaged over heads."""
    dim = x.shape[1]
    width = dim // heads
    normed = layer_norm(x, w["norm1.weight"], w["norm1.bias"], 1e-5)
    qkv = normed @ w["attn.qkv.weight"].T + w["attn.qkv.bias"]
    filled = fill(qkv, kept, grid)
    sides = [min(length, most) for length, most in zip(grid, window, strict=True)]
    shift = [side // 2 if shifted and length > side else 0 for length, side in zip(grid, sides, strict=True)]
    whole = [-(-length // side) * side for length, side in zip(grid, sides, strict=True)]
    members = {}
    for where in product(*map(range, whole)):
        rolled = [(at - step) % length for at, step, length in zip(where, shift, whole, strict=True)]
        number = tuple(at // side for at, side in zip(rolled, sides, strict=True))
        inner = [at % side for at, side in zip(rolled, sides, strict=True)]
        flat = (inner[0] * sides[1] + inner[1]) * sides[2] + inner[2]
        wrapped = tuple(at < step for at, step in zip(where, shift, strict=True))
        padding = any(at >= length for at, length in zip(where, grid, strict=True))
        position = (where[0] * grid[1] + where[1]) * grid[2] + where[2]
        value = w["attn.qkv.bias"] if padding else filled[position]
        members.setdefault(number, []).append((flat, wrapped, None if padding else position, value))
    out = {}
    for places in members.values():
        for flat, wrapped, position, value in places:
            if position is None:
                continue
            mixed = np.zeros(dim)
            for head in range(heads):
                part = slice(head * width, head * width + width)
                seen = [one for one in places if one[1] == wrapped]
                weights = []
                for other, _, _, theirs in seen:
                    bias = w["attn.relative_position_bias_table"][row_of(flat, other, window), head]
                    weights.append(math.exp(value[part] @ theirs[dim:][part] / math.sqrt(width) + bias))
                values = np.array([theirs[2 * dim :][part] for *_, theirs in seen])
                mixed[part] = np.array(weights) @ values / sum(weights)
            out[position] = mixed
    x = x + np.array([out[position] for position in kept]) @ w["attn.proj.weight"].T + w["attn.proj.bias"]
    hidden = layer_norm(x, w["norm2.weight"], w["norm2.bias"], 1e-5) @ w["mlp.0.weight"].T + w["mlp.0.bias"]
    gelu = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    x = x + gelu @ w["mlp.3.weight"].T + w["mlp.3.bias"]
    return x, qkv[:, dim : 2 * dim].reshape(len(x), heads, width).mean(1)


def row_of(i, j, window):
    """Of the table of biases, for places i and j; also in a smaller window, whose places are numbered as the first of a
    whole one."""
    a, b = (place(flat, window) for flat in (i, j))
    t, h, v = (one - other + side - 1 for one, other, side in zip(a, b, window, strict=True))
    return (t * (2 * window[1] - 1) + h) * (2 * window[2] - 1) + v
