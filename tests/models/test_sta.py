"""STA against a literal, slow reading of the method (STA, section 3): plain loops over clips, slots and tokens."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import create_model
from models.reduction.sta import STA
from models.tracing import trace
from tests.models import golden


def literal_keep(tokens, keys, r, stage):
    """Positions that stay in each slot, for one clip: tokens (T, N, C) and keys (T, N, D) as NumPy arrays."""
    slots, count = tokens.shape[:2]
    visits = list(range(slots)) if stage % 2 == 1 else list(range(slots))[::-1]
    kept = {}
    for slot in visits:
        current = keys[slot]
        if slot == visits[0]:
            odd = [i for i in range(count) if i % 2 == 1]
            even = [i for i in range(count) if i % 2 == 0]
            nearest = {i: max(float(current[i] @ current[j]) for j in odd) for i in even}
            order = odd + sorted(even, key=lambda i: nearest[i])
            kept[slot] = order[: count - r]
            previous_keys, previous_mass = list(current), [1.0] * count
            continue
        mass = [0.0] * count
        for key, share in zip(previous_keys, previous_mass, strict=True):
            weights = [math.exp(float(current[i] @ key)) for i in range(count)]
            total = sum(weights)
            for i in range(count):
                mass[i] += share * weights[i] / total
        norm = [float(np.abs(token).sum()) for token in tokens[slot]]
        importance = [(x - min(norm)) / (max(norm) - min(norm)) for x in norm]
        score = [mass[i] * (1 - importance[i]) for i in range(count)]
        kept[slot] = sorted(range(count), key=lambda i: score[i])[: count - r]
        total = sum(mass[i] for i in kept[slot])
        previous_keys, previous_mass = [current[i] for i in kept[slot]], [mass[i] / total for i in kept[slot]]
    return [kept[slot] for slot in range(slots)]


def literal_model(state, clip, arch, r, at):
    """Logits of one clip, and where the tokens left after each stage came from, in float64 and without batches."""
    w = {name: tensor.double().numpy() for name, tensor in state.items()}
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
    slots, origin, origins = arch.slots, list(range(len(x))), []
    for number in range(1, arch.depth + 1):
        block = f"blocks.{number - 1}."
        x, keys = literal_block(x, {k.removeprefix(block): v for k, v in w.items() if k.startswith(block)}, arch.heads)
        if number in at:
            count = len(x) // slots
            kept = literal_keep(x.reshape(slots, count, -1), keys.reshape(slots, count, -1), r, at.index(number) + 1)
            stay = [slot * count + i for slot in range(slots) for i in kept[slot]]
            x, origin = x[stay], [origin[i] for i in stay]
            origins.append(origin)
            slots = max(slots // 2, 1)
    pooled = layer_norm(x.mean(0), w["fc_norm.weight"], w["fc_norm.bias"])
    return w["head.weight"] @ pooled + w["head.bias"], origins


def layer_norm(x, weight, bias):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * weight + bias


def literal_block(x, w, heads):
    """(N, C) → the same, and the keys averaged over heads and L2-normalised."""
    dim = x.shape[1]
    width = dim // heads
    normed = layer_norm(x, w["norm1.weight"], w["norm1.bias"])
    q = normed @ w["attn.qkv.weight"][:dim].T + w["attn.q_bias"]
    k = normed @ w["attn.qkv.weight"][dim : 2 * dim].T
    v = normed @ w["attn.qkv.weight"][2 * dim :].T + w["attn.v_bias"]
    mixed = np.zeros_like(x)
    for head in range(heads):
        part = slice(head * width, head * width + width)
        scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(width))
        mixed[:, part] = scores / scores.sum(1, keepdims=True) @ v[:, part]
    x = x + mixed @ w["attn.proj.weight"].T + w["attn.proj.bias"]
    hidden = layer_norm(x, w["norm2.weight"], w["norm2.bias"]) @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"]
    hidden = torch.nn.functional.gelu(torch.from_numpy(hidden)).numpy()
    mean = sum(k[:, head * width : head * width + width] for head in range(heads)) / heads
    keys = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return x + hidden @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"], keys


def random_stage(batch, slots, count, seed):
    stream = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, slots, count, 24, generator=stream, dtype=torch.float64)
    keys = torch.randn(batch, slots, count, 8, generator=stream, dtype=torch.float64)
    return tokens, torch.nn.functional.normalize(keys, dim=-1)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("slots", "count", "r"),
    [(8, 196, 48), (8, 49, 12), (8, 49, 24), (4, 74, 12), (2, 10, 5), (1, 49, 24), (1, 12, 3), (3, 5, 0)],
)
def test_a_stage_keeps_the_literal_ones_in_their_order(slots, count, r, seed):
    tokens, keys = random_stage(1 if count > 100 else 2, slots, count, seed)
    for stage in (1, 2):
        kept = STA(r).keep(tokens, keys, stage)
        expected = [literal_keep(t, k, r, stage) for t, k in zip(tokens.numpy(), keys.numpy(), strict=True)]
        assert kept.tolist() == expected


@torch.no_grad()
@pytest.mark.parametrize(
    ("seed", "reduction", "r", "at"),
    [
        (0, "sta:r=12", 12, (1, 5, 9)),
        (1, "sta:r=24", 24, (1, 5, 9)),
        (2, "sta:r=20", 20, (1, 5, 9)),
        (3, "sta:r=15,at=1-3-5-7", 15, (1, 3, 5, 7)),  # the fourth stage has one slot
        (4, "sta:r=7,at=12", 7, (12,)),
    ],
)
def test_the_whole_model_keeps_the_literal_tokens(seed, reduction, r, at):
    # In float64, since in float32 two nearly equal scores may change places.
    model = create_model("vit_demo", reduction).double()
    state, clips = golden.weights("vit_demo", seed), golden.clips(2, side=56, seed=seed)
    model.load_state_dict(state)
    logits, traced = trace(model, clips.double())
    assert [stage.block for stage in traced] == list(at)
    for i, clip in enumerate(clips):
        expected, stages = literal_model(state, clip, model.arch, r, at)
        assert [stage.kept[i].tolist() for stage in traced] == stages
        np.testing.assert_allclose(logits[i].numpy(), expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_holds_at_any_shape(data):
    slots, count = data.draw(st.sampled_from([1, 2, 4, 8])), data.draw(st.integers(2, 30))
    r, stage = data.draw(st.integers(0, count // 2)), data.draw(st.integers(1, 4))
    tokens, keys = random_stage(3, slots, count, data.draw(st.integers(0, 1000)))
    kept = STA(r).keep(tokens, keys, stage)
    assert kept.shape == (3, slots, count - r)
    ordered = kept.sort(dim=-1).values
    assert (ordered.diff(dim=-1) > 0).all()  # no token twice
    assert ordered.min() >= 0
    assert ordered.max() < count
    alone = torch.cat([STA(r).keep(tokens[i : i + 1], keys[i : i + 1], stage) for i in range(3)])
    assert torch.equal(kept, alone)
    # Neither a clip's brightness nor the direction of time in a mirrored stage matters.
    assert torch.equal(kept, STA(r).keep(3 * tokens, keys, stage))
    assert torch.equal(kept.flip(1), STA(r).keep(tokens.flip(1), keys.flip(1), stage + 1))


def test_identical_tokens_are_no_trouble():
    kept = STA(2).keep(torch.ones(1, 4, 6, 8), torch.full((1, 4, 6, 4), 0.5), 1)
    assert kept.shape == (1, 4, 4)
    assert all(len(set(slot)) == 4 for slot in kept[0].tolist())
