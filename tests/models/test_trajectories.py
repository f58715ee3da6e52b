"""The trajectory sum against a literal version, token by token (STA, Table 1)."""

import math

import pytest
import torch

from models import create_model
from models.catalog import ARCHITECTURES
from models.stages import Observer
from models.tracing import trace
from models.trajectories import Trajectories, trajectory_sum
from tests.models.tiny import TINY


def cosine(one, other):
    norms = math.sqrt(sum(a * a for a in one)) * math.sqrt(sum(b * b for b in other))
    return sum(a * b for a, b in zip(one, other, strict=True)) / norms


class Last(Observer):
    """The tokens that a model pools."""

    def end(self, tokens):
        self.x = tokens.x


def literal(tokens, slots):
    """tokens: lists of numbers; slots: of each the indices of its tokens, the last slot last."""
    total = 0.0
    for last in slots[-1]:
        for slot in slots[:-1]:
            if slot:
                total += max(cosine(tokens[last], tokens[other]) for other in slot)
    return total / len(slots[-1])


def test_by_hand() -> None:
    tokens = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [-1.0, 0.0]])
    half = math.sqrt(0.5)
    # The last slot has the diagonal one and (-1, 0); of the first slot the nearest to them are at 45 and 90 degrees.
    assert trajectory_sum(tokens, torch.tensor([[0, 1], [2, 3]])) == pytest.approx((half + 0) / 2)
    same = torch.ones(8, 3)
    assert trajectory_sum(same, torch.arange(8)[:, None]) == pytest.approx(7)  # at most T - 1


@pytest.mark.parametrize("reduction", ["none", "sta:r=12", "random:r=12", "tome:r=8", "sta:r=12,order=bbb"])
def test_of_a_forward_pass(demo, reduction) -> None:
    arch = demo.arch
    demo.set_reduction(reduction)
    clips = torch.randn(2, 3, arch.frames, arch.image, arch.image, generator=torch.Generator().manual_seed(2))
    last: list[torch.Tensor] = []
    demo.fc_norm.register_forward_pre_hook(lambda _, given: last.append(given[0]))
    seen, tokens_left = Trajectories(demo.reduction, arch, len(clips)), Last()
    with torch.inference_mode():
        demo(clips, observers=(seen, tokens_left))
        _, stages = trace(demo, clips)
    found = seen.values()
    for clip, value in enumerate(found):
        tokens = tokens_left.x[clip].double().tolist()
        if reduction[:4] in ("none", "sta:", "rand"):  # pooled by the plain mean
            assert torch.allclose(tokens_left.x[clip].mean(0), last[0][clip], atol=1e-5)
        slots: list[set[int]] = [set() for _ in range(arch.slots)]
        for place in range(arch.slots * arch.tokens_per_slot):
            token = int(stages[-1].after[clip, place]) if stages else place
            if token >= 0:
                slots[place // arch.tokens_per_slot].add(token)
        assert value == pytest.approx(literal(tokens, [sorted(slot) for slot in slots]), rel=1e-5)
        assert 0 < value <= 7


@pytest.mark.parametrize("reduction", ["none", "sta:r=3", "sta:r=16"])
def test_of_a_grid(reduction) -> None:
    """With r = 3 the last stage drops none."""
    model = create_model("swin_demo", reduction).eval()
    arch, tokens_left = model.arch, Last()
    seen = Trajectories(model.reduction, arch, 1)
    clips = torch.randn(1, 3, arch.frames, arch.image, arch.image)
    with torch.inference_mode():
        model(clips, observers=(seen, tokens_left))
        stages = trace(model, clips)[1]
    per_slot = arch.side(len(arch.levels)) ** 2
    whole = torch.arange(arch.slots * per_slot)
    after = stages[-1].after[0] if reduction == "sta:r=16" else whole
    slots = [[one for one in after[slot * per_slot : (slot + 1) * per_slot].tolist() if one >= 0] for slot in range(8)]
    assert len(tokens_left.x[0]) == sum(map(len, slots))
    assert seen.values()[0] == pytest.approx(literal(tokens_left.x[0].double().tolist(), slots), rel=1e-5)


def test_dropped_tokens_count_under_the_slots_that_they_are_of(demo) -> None:
    """Told by hand: a method that keeps the first tokens of each slot, whose places are then known."""
    arch = demo.arch
    demo.set_reduction("uniform:r=24,at=1")
    clips = torch.randn(1, 3, arch.frames, arch.image, arch.image, generator=torch.Generator().manual_seed(4))
    seen, tokens_left = Trajectories(demo.reduction, arch, 1), Last()
    with torch.inference_mode():
        demo(clips, observers=(seen, tokens_left))
    kept = arch.tokens_per_slot - 24
    slots = [list(range(slot * kept, (slot + 1) * kept)) for slot in range(arch.slots)]
    assert seen.values()[0] == pytest.approx(literal(tokens_left.x[0].double().tolist(), slots), rel=1e-5)


def test_cosines_are_taken_in_full_precision(demo) -> None:
    """Also where the model runs in mixed precision."""
    arch = demo.arch
    clips = torch.randn(1, 3, arch.frames, arch.image, arch.image, generator=torch.Generator().manual_seed(5))
    seen, tokens_left = Trajectories(demo.reduction, arch, 1), Last()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        demo(clips, observers=(seen, tokens_left))
    slots = torch.arange(arch.slots * arch.tokens_per_slot).view(arch.slots, -1)
    assert seen.values()[0] == pytest.approx(trajectory_sum(tokens_left.x[0].double(), slots), abs=1e-5)


def test_a_clip_without_a_token_of_the_last_slot_is_refused(monkeypatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "vit_tiny", TINY)
    model = create_model("vit_tiny", "rlt")
    still = torch.zeros(1, 3, TINY.frames, TINY.image, TINY.image)
    seen = Trajectories(model.reduction, model.arch, 1)
    with torch.inference_mode(), pytest.raises(ValueError, match="left a clip none"):
        model(still, observers=(seen,))
    with pytest.raises(ValueError, match="which a ViT does not tell"):
        Trajectories(model.reduction, model.arch, 1).values()
