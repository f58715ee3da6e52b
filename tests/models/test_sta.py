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
from tests.models import golden, literal


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
    w = literal.weights_of(state)
    x = literal.embed(w, clip, arch)
    slots, origin, origins = arch.slots, list(range(len(x))), []
    for number in range(1, arch.depth + 1):
        block = literal.of_block(w, number - 1)
        x, keys, _ = literal.attend(x, block, arch.heads)
        x = literal.transform(x, block)
        if number in at:
            tokens, keys = (one.reshape(slots, len(x) // slots, -1) for one in (x, literal.unit(keys)))
            kept = literal_keep(tokens, keys, r, at.index(number) + 1)
            stay = [slot * tokens.shape[1] + i for slot in range(slots) for i in kept[slot]]
            x, origin = x[stay], [origin[i] for i in stay]
            origins.append(origin)
            slots = max(slots // 2, 1)
    return literal.classify(x.mean(0), w), origins


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
        assert [stage.kept(i).tolist() for stage in traced] == stages
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
