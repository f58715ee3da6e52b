"""What holds of every reduction: nothing is lost in merges, and no clip of a batch touches another."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import create_model
from models.reduction import Choice, Reduction
from models.tokens import Tokens, apply, join, moves
from models.tracing import trace
from tests.models import golden

DEPTH = 12
METHODS = [
    "none",
    "sta:r=12",
    "random:r=12",
    "uniform:r=12",
    "tome:r=16",
    "tome:r=16,prop=1",
    "tome:r=16,decreasing=1",
    "tome:r=16,mode=drop",
    "vidtldr:r=100-50",
    "pitome:ratio=0.95",
    "rlt:tau=0.1",
]


@dataclass(frozen=True)
class Loud(Reduction):
    """Keeps tokens whose norm is above their clip's mean, twice, weighs them and looks at attention: all at once."""

    name: ClassVar[str] = "loud"
    place: ClassVar = "between"
    needs: ClassVar = ("keys", "attention")
    by_content: ClassVar[bool] = True
    proportional: ClassVar[bool] = True
    by_size: ClassVar[bool] = True

    def stages(self, depth):
        return (1, 2, 5)

    def choose(self, seen):
        assert seen.attention.shape == (len(seen.tokens), seen.tokens.shape[1], seen.tokens.shape[1])
        norm = seen.tokens.norm(dim=-1)
        if seen.stage == 2:  # the first token takes in the second
            positions = torch.arange(seen.tokens.shape[1]).expand(len(seen.tokens), -1)
            return Choice(positions[:, [0, *range(2, positions.shape[1])]], positions[:, 1:2], positions[:, :1])
        return Choice(norm > norm.mean(dim=1, keepdim=True))


def uneven(side=56):
    """Four clips of which RLT keeps very different shares."""
    clips = golden.clips(4, side)
    clips[0, :, 1:] = clips[0, :, :1]
    clips[1, ..., : side // 2] = 0.5
    clips[2, :, 4:] = clips[2, :, 4:5]
    return clips


def gradients(model, logits):
    model.zero_grad()
    (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def reduced(model, reduction):
    if reduction == "loud":
        model.reduction = Loud()
    else:
        model.set_reduction(reduction)
    return model


@torch.no_grad()
@pytest.mark.parametrize("reduction", [*METHODS, "loud"])
def test_a_clip_has_the_logits_that_it_has_alone(demo, reduction):
    # In float64, since in float32 tokens whose scores are nearly equal may change places.
    model, clips = reduced(demo.double(), reduction), uneven().double()
    logits, stages = trace(model, clips)
    torch.testing.assert_close(logits, torch.cat([model(clip[None]) for clip in clips]), rtol=1e-9, atol=1e-9)
    for b, clip in enumerate(clips):
        for together, alone in zip(stages, trace(model, clip[None])[1], strict=True):
            assert torch.equal(together.after[b], alone.after[0])
    if reduction in ("rlt:tau=0.1", "loud"):
        assert len({stages[-1].count(b) for b in range(4)}) == 4


@torch.no_grad()
def test_clips_of_different_lengths_agree_in_float32_too(demo):
    demo.set_reduction("rlt:tau=0.1")
    clips = uneven()
    torch.testing.assert_close(demo(clips), torch.cat([demo(clip[None]) for clip in clips]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("reduction", [*METHODS, "loud"])
def test_a_training_step_has_the_gradients_of_its_clips_one_by_one(demo, reduction, checkpointing):
    model, clips = reduced(demo.double().train(), reduction), uneven().double()
    model.drop_path, model.activation_checkpointing = 0.3, checkpointing
    branches = torch.rand(4, 2 * DEPTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    given = gradients(model, model(clips, branches))
    model.activation_checkpointing = False
    alone = torch.cat([model(clip[None], rows[None]) for clip, rows in zip(clips, branches, strict=True)])
    for name, gradient in gradients(model, alone).items():
        assert (given[name] - gradient).abs().max() <= 1e-9 * max(gradient.abs().max(), 1e-9), name


@pytest.mark.parametrize("reduction", [*METHODS, "loud"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs_everywhere(demo, reduction, dtype):
    clips = uneven()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert reduced(demo, reduction)(clips).isfinite().all()
    with torch.no_grad():
        logits = reduced(demo.to(dtype), reduction)(clips.to(dtype))
    assert logits.dtype == dtype
    assert logits.isfinite().all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_holds_of_any_choice(data):
    count, width = data.draw(st.integers(2, 12)), 3
    stay = data.draw(st.integers(1, count))
    merges = data.draw(st.integers(0, count - stay))
    seed = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    order = torch.stack([torch.randperm(count, generator=seed) for _ in range(2)])
    into = torch.randint(stay, (2, merges), generator=seed)
    choice = Choice(order[:, :stay], order[:, stay : stay + merges], into)
    x = torch.randn(2, count, width, generator=seed, dtype=torch.float64)
    sizes = torch.rand(2, count, generator=seed, dtype=torch.float64) + 1
    (left,) = apply(Tokens(x, sizes), choice)
    for b in range(2):
        for place in range(stay):
            group = [int(order[b, place]), *(int(order[b, stay + m]) for m in range(merges) if into[b, m] == place)]
            torch.testing.assert_close(left.sizes[b, place], sizes[b, group].sum())
            mean = (x[b, group] * sizes[b, group, None]).sum(0) / sizes[b, group].sum()
            torch.testing.assert_close(left.x[b, place], mean)
            assert (moves(choice, count)[b, group] == place).all()
        assert (moves(choice, count)[b] == -1).sum() == count - stay - merges


def test_a_token_of_weight_0_leaves_no_trace():
    kept, merged, into = torch.tensor([[1]]), torch.tensor([[0]]), torch.tensor([[0]])
    choice = Choice(kept, merged, into, torch.zeros(1, 1))
    (left,) = apply(Tokens(torch.tensor([[[5.0], [2.0]]])), choice)
    assert (left.x.tolist(), left.sizes.tolist()) == ([[[2.0]]], [[1.0]])
    assert moves(choice, 2).tolist() == [[-1, 0]]


def test_gradients_flow_through_a_merge_by_weight():
    x = torch.tensor([[[1.0], [2.0], [3.0]]], requires_grad=True)
    sizes = torch.tensor([[1.0, 3.0, 2.0]])
    choice = Choice(torch.tensor([[0, 2]]), torch.tensor([[1]]), torch.tensor([[0]]))
    (left,) = apply(Tokens(x, sizes), choice)
    left.x[0, 0].sum().backward()
    assert x.grad.flatten().tolist() == [0.25, 0.75, 0]


def test_packed_tokens_come_apart_as_they_were():
    parts = [Tokens(torch.randn(1, n, 2), torch.rand(1, n)) for n in (3, 1, 5)]
    packed = join(parts)
    assert packed.x.shape == (1, 9, 2)
    for one, again in zip(parts, packed.parts(), strict=True):
        assert torch.equal(one.x, again.x)
        assert torch.equal(one.sizes, again.sizes)
    spread = packed.spread(torch.tensor([1.0, 2.0, 3.0]))
    assert spread.flatten().tolist() == [1, 1, 1, 2, 3, 3, 3, 3, 3]


def test_what_no_method_asks_for_is_not_computed(demo, monkeypatch):
    """The fused attention runs in every block, but in those of a method that needs the matrix."""
    fused, calls = torch.nn.functional.scaled_dot_product_attention, []
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *given, **named: calls.append(1) or fused(*given, **named),
    )
    for reduction, expected in {"none": 12, "tome:r=16": 12, "sta:r=12": 12, "vidtldr:r=100-50": 10}.items():
        calls.clear()
        reduced(demo, reduction)(golden.clips(1, 56))
        assert len(calls) == expected


def test_a_reduction_can_be_switched_to_and_fro(demo):
    clips = uneven()
    with torch.no_grad():
        before = {reduction: reduced(demo, reduction)(clips) for reduction in METHODS}
        after = {reduction: reduced(demo, reduction)(clips) for reduction in reversed(METHODS)}
    assert all(torch.equal(before[one], after[one]) for one in METHODS)
    assert len({tuple(one.flatten().tolist()) for one in before.values()}) == len(METHODS)


def test_create_model_takes_every_method():
    for reduction in METHODS:
        assert create_model("vit_demo", reduction)(uneven()).shape == (4, 16)


@torch.no_grad()
@pytest.mark.parametrize("reduction", METHODS)
def test_short_clips_down_to_one_slot(demo, reduction):
    reduced(demo, reduction)
    for frames in (2, 4, 8):
        demo.set_frames(frames)
        assert demo(torch.randn(2, 3, frames, 56, 56)).isfinite().all()
