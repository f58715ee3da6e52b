"""STA's ablations (STA, Table 6) against literal transcriptions: plain loops over slots and tokens, clip by clip."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from models import create_model
from models.catalog import architecture
from models.reduction import reduction_on
from models.tracing import trace
from tests.models import golden, literal

TIMES = {"decreasing": (1, 1, 1), "constant": (1, 2, 4), "increasing": (1, 4, 16), "1-3-2": (1, 3, 2)}


def first_slot(keys, r, stage, way):
    """The tokens that stay of the slot visited first, in their order."""
    count = len(keys)
    if way == "bipartite":
        odd, even = [i for i in range(count) if i % 2 == 1], [i for i in range(count) if i % 2 == 0]
        nearest = {i: max(float(keys[i] @ keys[j]) for j in odd) for i in even}
        return (odd + sorted(even, key=lambda i: nearest[i]))[: count - r]
    order = np.random.default_rng([0, stage]).permutation(count).tolist()
    if way == "random":
        gone = set(order[:r])
    else:
        side, across = math.sqrt(count), math.sqrt(r)
        square = side == int(side) and across == int(across)
        gone, seen = set(), set()
        for token in order:
            row, column = divmod(token, int(side))
            cell = (int(row * across / side), int(column * across / side)) if square else token * r // count
            if cell not in seen:
                seen.add(cell)
                gone.add(token)
    return [i for i in range(count) if i not in gone]


def literal_stage(tokens, features, r, stage, first="bipartite", order="fbf", score="both"):
    slots, count = tokens.shape[:2]
    visits = list(range(slots))
    if order[stage - 1] == "b":
        visits.reverse()
    kept = {visits[0]: first_slot(features[visits[0]], r, stage, first)}
    before, mass = features[visits[0]], [1.0] * count
    for slot in visits[1:]:
        norm = [float(np.abs(token).sum()) for token in tokens[slot]]
        importance = [(x - min(norm)) / (max(norm) - min(norm)) for x in norm]
        now = [0.0] * count
        for one, share in zip(before, mass, strict=True):
            weights = [math.exp(float(features[slot][i] @ one)) for i in range(count)]
            for i in range(count):
                now[i] += share * weights[i] / sum(weights)
        rank = {
            "both": [now[i] * (1 - importance[i]) for i in range(count)],
            "semantic": [-importance[i] for i in range(count)],
            "temporal": now,
        }[score]
        kept[slot] = sorted(range(count), key=lambda i: rank[i])[: count - r]
        total = sum(now[i] for i in kept[slot])
        before, mass = features[slot][kept[slot]], [now[i] / total for i in kept[slot]]
    return [kept[slot] for slot in range(slots)]


def features_of(x, after, w, heads, by):
    """By what tokens are compared, (N, C) before and after a block: a projection averaged over heads, or its output."""
    if by == "out":
        return after
    dim = x.shape[1]
    normed = literal.layer_norm(x, w["norm1.weight"], w["norm1.bias"])
    part = {"q": 0, "k": 1, "v": 2}[by]
    found = normed @ w["attn.qkv.weight"][part * dim : (part + 1) * dim].T
    if by != "k":
        found = found + w[f"attn.{by}_bias"]
    return sum(np.split(found, heads, axis=1)) / heads


def literal_model(state, clip, arch, r, drops="decreasing", by="k", **ways):
    w = literal.weights_of(state)
    x = literal.embed(w, clip, arch)
    slots, origin, origins, at = arch.slots, list(range(len(x))), [], (1, 5, 9)
    for number in range(1, arch.depth + 1):
        block = literal.of_block(w, number - 1)
        before, (x, _, _) = x, literal.attend(x, block, arch.heads)
        x = literal.transform(x, block)
        if number in at:
            stage = at.index(number) + 1
            features = literal.unit(features_of(before, x, block, arch.heads, by))
            tokens, features = (one.reshape(slots, len(x) // slots, -1) for one in (x, features))
            kept = literal_stage(tokens, features, r * TIMES[drops][stage - 1], stage, **ways)
            stay = [slot * tokens.shape[1] + i for slot in range(slots) for i in kept[slot]]
            x, origin = x[stay], [origin[i] for i in stay]
            origins.append(origin)
            slots //= 2
    return literal.classify(x.mean(0), w), origins


@torch.no_grad()
@pytest.mark.parametrize(
    ("r", "ways"),
    [
        (12, {"first": "random"}),
        (16, {"first": "grid"}),
        (12, {"first": "grid"}),
        *((12, {"order": order}) for order in ("bfb", "fff", "bbb")),
        *((12, {"by": by}) for by in ("q", "v", "out")),
        (12, {"drops": "constant"}),
        (6, {"drops": "increasing"}),
        (8, {"drops": "1-3-2"}),
        (12, {"score": "semantic"}),
        (12, {"score": "temporal"}),
        (9, {"first": "grid", "order": "bbb", "by": "v", "drops": "constant", "score": "temporal"}),
    ],
    ids=str,
)
def test_the_whole_model_is_the_literal_one(r, ways):
    reduction = f"sta:r={r}," + ",".join(f"{name}={way}" for name, way in ways.items())
    model = create_model("vit_demo", reduction).double()
    state, clips = golden.weights("vit_demo", 0), golden.clips(2, side=56, seed=0)
    model.load_state_dict(state)
    logits, traced = trace(model, clips.double())
    for i, clip in enumerate(clips):
        expected, stages = literal_model(state, clip, model.arch, r, **ways)
        assert [stage.kept(i).tolist() for stage in traced] == stages
        np.testing.assert_allclose(logits[i].numpy(), expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_what_the_paper_takes_is_what_is_taken_unless_set():
    arch = architecture("vit_demo")
    spelled = "sta:r=12,first=bipartite,order=fbf,by=k,drops=decreasing,score=both"
    assert reduction_on(spelled, arch) == reduction_on("sta:r=12", arch)
    assert reduction_on(spelled, arch).canonical(arch) == "sta:r=12"
    for listed, named in (("1-1-1", "decreasing"), ("1-2-4", "constant"), ("1-4-16", "increasing")):
        listed, named = (reduction_on(f"sta:r=2,drops={one}", arch).canonical(arch) for one in (listed, named))
        assert listed == named, "equal reductions share their records"


@pytest.mark.parametrize(
    ("reduction", "drops", "gflops"),
    [("sta:r=64", [512, 256, 128], 308.7), ("sta:r=48,drops=constant", [384] * 3, 299.8),
     ("sta:r=27,drops=increasing", [216, 432, 864], 305.0)],
)  # fmt: skip
def test_the_three_schedules_of_table_6d(reduction, drops, gflops):
    """In tokens of a clip; the paper has them for each 8 slots, {64, 32, 16}, {48, 48, 48} and {27, 54, 108}."""
    arch = architecture("vit_large")
    found = reduction_on(reduction, arch)
    counts = [1568, *(found.tokens(arch)[block][0] for block in (1, 9, 17))]
    assert [before - after for before, after in pairwise(counts)] == drops
    assert found.multiply_adds(arch) / 1e9 == pytest.approx(gflops, abs=0.05)


@pytest.mark.parametrize(
    ("reduction", "why"),
    [
        ("sta:r=60,drops=increasing", "stage 3 would drop 960 of a slot's 64 tokens after block 17, and may drop 63"),
        ("sta:r=64,drops=1-2", "drops lists 2 stages of 3"),
        ("sta:r=99", "r is at most half of a slot's 196 tokens"),
        ("sta:r=64,first=last", "must be bipartite or random or grid"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(reduction, why):
    with pytest.raises(ValueError, match=why):
        reduction_on(reduction, architecture("vit_large"))


def test_on_a_grid_of_tokens_there_are_no_ablations():
    with pytest.raises(ValueError, match="order is for a ViT"):
        reduction_on("sta:r=192,order=bfb", architecture("swin3d_t"))
