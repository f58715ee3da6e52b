"""ToMe, vid-TLDR, PiToMe and RLT against a literal reading of their papers and code: one clip, one token at a time."""

import math

import numpy as np
import pytest
import torch

from models import create_model
from models.catalog import ARCHITECTURES, ViT
from models.tracing import trace
from tests.models import golden, literal

TINY = ViT.of(32, 4, 2, image=32, patch=8, frames=8, num_classes=5)


def likest(a, b, cosine):
    """For each token of `a` the first of `b` that is most like it."""
    return {i: max(b, key=lambda j: (cosine[i, j], -b.index(j))) for i in a}


def tome(x, keys, attention, r, **_):
    return matched(x, r, literal.unit(keys) @ literal.unit(keys).T)


def matched(x, r, cosine):
    a, b = list(range(0, len(x), 2)), list(range(1, len(x), 2))
    best = likest(a, b, cosine)
    ranked = sorted(a, key=lambda i: -cosine[i, best[i]])
    r = min(r, len(b))
    return [[(i, 1)] for i in ranked[r:]] + [[(j, 1)] + [(i, 1) for i in ranked[:r] if best[i] == j] for j in b]


def dropping(x, keys, attention, r, **_):
    return [group[:1] for group in tome(x, keys, attention, r)]


def random_merge(x, keys, attention, r, block, **_):
    """Even tokens by odd ones, drawn of each block, which counts from 1."""
    drawn = np.random.default_rng([0, block + 1]).random((len(x) - len(x) // 2, len(x) // 2))
    return matched(x, r, {(i, j): drawn[i // 2, j // 2] for i in range(0, len(x), 2) for j in range(1, len(x), 2)})


def random_drop(x, keys, attention, r, block, **_):
    return [group[:1] for group in random_merge(x, keys, attention, r, block)]


def vidtldr(x, keys, attention, r, **_):
    sharp = [sum(p * math.log(p) for p in row) for row in attention]
    score = [s - min(sharp) for s in sharp]
    score = [s / max(score) for s in score]
    mean = sum(score) / len(score)
    above = [s - mean for s in score]
    weight = [s / max(above) if s >= 0 else 0 for s in above]
    cosine = literal.unit(x) @ literal.unit(x).T
    a, b = list(range(0, len(x), 2)), list(range(1, len(x), 2))
    best = likest(a, b, cosine)
    merged = sorted(a, key=lambda i: -cosine[i, best[i]])[: min(int(r * len(x)) if r < 1 else r, len(b))]
    arrivals = {j: [(i, weight[i]) for i in merged if best[i] == j] for j in b}
    return [[(i, 1)] for i in a if i not in merged] + [[(j, 1), *arrivals[j]] for j in b]


def pitome(x, keys, attention, r, block, depth):
    count, cosine = len(x), literal.unit(keys) @ literal.unit(keys).T
    margin = 0.75 * (1 - block / depth)
    energy = []
    for i in range(count):
        above = [cosine[i, j] - margin for j in range(count)]
        energy.append(sum(z if z > 0 else math.exp(z) - 1 for z in above) / count)
    order = sorted(range(count), key=lambda i: -energy[i])
    merges = math.floor(count - count * r)
    early = block < math.ceil(depth / 2)
    dealt, others = (order[: 2 * merges], order[2 * merges :]) if early else (order, [])
    a, b = dealt[0::2], dealt[1::2]
    best = likest(a, b, cosine)
    merged = a if early else sorted(a, key=lambda i: -cosine[i, best[i]])[:merges]
    staying = others if early else sorted((i for i in a if i not in merged), key=lambda i: -cosine[i, best[i]])
    return [[(i, 1)] for i in staying] + [[(j, 1)] + [(i, 1) for i in merged if best[i] == j] for j in b]


def run(state, clip, arch, method, schedule, prop=False, by_size=True):
    """Logits; where each token went (−1: nothing left of it); and the sizes, of one clip."""
    w = literal.weights_of(state)
    x = literal.embed(w, clip, arch)
    sizes, place = np.ones(len(x)), list(range(len(x)))
    for number in range(arch.depth):
        block = literal.of_block(w, number)
        x, keys, attention = literal.attend(x, block, arch.heads, np.log(sizes) if prop else 0.0)
        if schedule[number]:
            groups = method(x, keys, attention, schedule[number], block=number, depth=arch.depth)
            weights = [{i: sizes[i] * share for i, share in group} for group in groups]
            x = np.array([sum(w * x[i] for i, w in group.items()) / sum(group.values()) for group in weights])
            sizes = np.array([sum(group.values()) for group in weights])
            new = {i: g for g, group in enumerate(weights) for i, weight in group.items() if weight}
            place = [new.get(i, -1) for i in place]
        x = literal.transform(x, block)
    pooled = (x * sizes[:, None]).sum(0) / sizes.sum() if by_size else x.mean(0)
    return literal.classify(pooled, w), place, sizes


CASES = {
    "tome:r=5": (tome, [5] * 4, {}),
    "tome:r=14,prop=1": (tome, [14] * 4, {"prop": True}),
    "tome:r=9,decreasing=1": (tome, [18, 12, 6, 0], {}),
    "tome:r=9,decreasing=1,prop=1": (tome, [18, 12, 6, 0], {"prop": True}),
    "tome:r=12-0-7": (tome, [12, 0, 7, 0], {}),
    "tome:r=40": (tome, [40] * 4, {}),
    "tome:r=7,mode=drop": (dropping, [7] * 4, {}),
    "tome:r=6,pool=mean": (tome, [6] * 4, {"by_size": False}),
    "tome:r=7,mode=random_merge": (random_merge, [7] * 4, {}),
    "tome:r=5,mode=random_merge,pool=mean": (random_merge, [5] * 4, {"by_size": False}),
    "tome:r=7,mode=random_drop": (random_drop, [7] * 4, {}),
    "vidtldr:r=20-10": (vidtldr, [20, 10, 0, 0], {"prop": True, "by_size": False}),
    "vidtldr:r=0.25-0-0.125": (vidtldr, [0.25, 0, 0.125, 0], {"prop": True, "by_size": False}),
    "pitome:ratio=0.9": (pitome, [0.9] * 4, {}),
    "pitome:ratio=0.5": (pitome, [0.5] * 4, {}),
}


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "vit_tiny", TINY)
    return create_model("vit_tiny").double().eval()


@torch.no_grad()
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("reduction", CASES)
def test_tokens_go_where_a_literal_reading_sends_them(tiny, reduction, seed):
    method, schedule, settings = CASES[reduction]
    state, clips = golden.weights("vit_tiny", seed), golden.clips(2, 32, seed)[:, :, 4:12]
    tiny.load_state_dict(state)
    tiny.set_reduction(reduction)
    logits, stages = trace(tiny, clips.double())
    for i, clip in enumerate(clips):
        expected, place, sizes = run(state, clip, TINY, method, schedule, **settings)
        assert stages[-1].after[i].tolist() == place
        weighed = stages[-1].sizes[i]
        if "drop" not in reduction:
            np.testing.assert_allclose(weighed.numpy(), sizes, rtol=1e-12)
        np.testing.assert_allclose(logits[i].numpy(), expected, rtol=1e-9, atol=1e-9)


def literal_rlt(clip, arch, tau):
    """Of one clip (3, F, H, W), whether each patch of each slot stays."""
    side, p = arch.image // arch.patch, arch.patch
    kept = []
    for t in range(arch.slots):
        for row in range(side):
            for column in range(side):
                patch = clip.numpy()[:, :, row * p : row * p + p, column * p : column * p + p]
                kept.append(t == 0 or np.abs(patch[:, 2 * t + 1] - patch[:, 2 * t - 2]).mean() > tau)
    return kept


@torch.no_grad()
@pytest.mark.parametrize("tau", ["0", "0.1", "0.63", "9"])
def test_rlt_keeps_what_a_literal_reading_keeps(tiny, tau):
    state, clips = golden.weights("vit_tiny"), golden.clips(3, 32)[:, :, 4:12]
    clips[0, :, 2:5] = clips[0, :, 1:2]  # a stretch that stands still
    clips[1, ..., :16] = 1.0
    tiny.load_state_dict(state)
    tiny.set_reduction(f"rlt:tau={tau}")
    logits, (stage,) = trace(tiny, clips.double())
    w = literal.weights_of(state)
    for i, clip in enumerate(clips):
        kept = literal_rlt(clip.double(), TINY, float(tau))
        assert (stage.after[i] >= 0).tolist() == kept
        assert (stage.block, stage.count(i)) == (1, sum(kept))
        x = literal.embed(w, clip, TINY)[kept]
        for number in range(TINY.depth):
            block = literal.of_block(w, number)
            x = literal.transform(literal.attend(x, block, TINY.heads)[0], block)
        np.testing.assert_allclose(logits[i].numpy(), literal.classify(x.mean(0), w), rtol=1e-9, atol=1e-9)
