"""Several reductions on the same clips: the bits of passes alone, and what is the same runs once."""

from collections import Counter
from dataclasses import dataclass

import pytest
import torch

from models import create_model
from models.layers import Block
from models.reduction import Choice, Reduction
from models.reduction._base import REGISTRY
from models.vit import VisionTransformer

ABLATIONS = [
    "sta:r=12", "sta:r=12,order=fff", "sta:r=12,order=bfb", "sta:r=12,order=bbb", "sta:r=12,by=q", "sta:r=12,by=out",
    "sta:r=12,by=v", "sta:r=12,first=grid", "sta:r=12,score=semantic", "sta:r=9,drops=constant", "sta:r=12,at=3-7-11",
]  # fmt: skip
METHODS = [
    "none", "random:r=12", "uniform:r=12", "tome:r=8", "tome:r=8,prop=1", "tome:r=8,mode=drop", "tome:r=20-0-8",
    "tome:r=8,mode=random_drop", "tome:r=8,mode=random_merge", "tome:r=8,pool=mean",
    "vidtldr:r=40-20", "pitome:ratio=0.95", "rlt", "rlt:tau=1.13",
]  # fmt: skip
GRID = ["none", "sta:r=8", "sta:r=16", "random:r=8", "uniform:r=8", "uniform:r=16"]


def clips(model, count=3):
    """Moving ones, which keep different numbers of tokens where a method goes by content."""
    arch = model.arch
    shape = count, 3, arch.frames, arch.image, arch.image
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    for clip in range(count):
        noise[clip, :, clip + 2 :] = noise[clip, :, clip + 1 : clip + 2]
        noise[clip, :, :, : 20 * clip] = 0.5
    return noise


def alone(model, video, reductions):
    found = []
    for one in reductions:
        model.set_reduction(one)
        found.append(model(video))
    return found


@torch.inference_mode()
def test_a_shared_pass_has_the_bits_of_one_alone_on_a_sequence(demo) -> None:
    video, reductions = clips(demo), METHODS + ABLATIONS
    apart = alone(demo, video, reductions)
    assert len({tuple(one.flatten().tolist()) for one in apart}) == len(apart)  # no two do the same here
    for order in (reductions, reductions[::-1]):
        found = dict(zip(order, demo.forward_all(video, order), strict=True))
        for reduction, logits in zip(reductions, apart, strict=True):
            assert torch.equal(found[reduction], logits), reduction


@torch.inference_mode()
def test_a_shared_pass_has_the_bits_of_one_alone_on_a_grid() -> None:
    torch.manual_seed(0)
    model = create_model("swin_demo").eval()
    video = clips(model)
    for reduction, found, logits in zip(GRID, model.forward_all(video, GRID), alone(model, video, GRID), strict=True):
        assert torch.equal(found, logits), reduction


@torch.inference_mode()
def test_under_mixed_precision_too(demo) -> None:
    video = clips(demo)
    with torch.autocast("cpu", torch.bfloat16):
        pairs = zip(demo.forward_all(video, ABLATIONS), alone(demo, video, ABLATIONS), strict=True)
        assert all(torch.equal(found, logits) for found, logits in pairs)


def blocks_run(model: VisionTransformer, video: torch.Tensor, reductions: list[str]) -> list[int]:
    """How often each block's attention ran."""
    runs: Counter[int] = Counter()
    hooks = [
        block.attn.register_forward_hook(lambda *_, number=number: runs.update([number]))
        for number, block in enumerate(model.blocks, 1)
        if isinstance(block, Block)
    ]
    with torch.inference_mode():
        model.forward_all(video, reductions)
    for hook in hooks:
        hook.remove()
    return [runs[number] for number in range(1, 13)]


@pytest.mark.parametrize(
    ("reductions", "runs"),
    [
        (["none", "sta:r=8", "sta:r=12", "random:r=12"], [1] + [4] * 11),  # stages after block 1
        (["none", "sta:r=12,at=3-7-11", "sta:r=12"], [1] + [2] * 2 + [3] * 9),
        (["sta:r=12", "sta:r=12,order=fff"], [1] * 5 + [2] * 7),  # the same first stage; they part at the second
        (["none", "tome:r=8"], [2] * 12),  # stages within block 1, which runs in halves
        (["tome:r=8", "tome:r=20-0-8"], [1] + [2] * 11),
        (["none", "rlt", "sta:r=12"], [2] + [3] * 11),
        (["none", "none"], [1] * 12),
    ],
)
def test_what_is_the_same_runs_once(demo, reductions, runs) -> None:
    assert blocks_run(demo, clips(demo), reductions) == runs


@torch.inference_mode()
def test_a_method_that_changes_what_it_sees_changes_no_other_pass(demo, monkeypatch) -> None:
    @dataclass(frozen=True)
    class Writes(Reduction):
        name = "writes"
        needs = ("pixels",)

        def stages(self, depth):
            return (1,)

        def choose(self, seen):
            seen.tokens.zero_()
            seen.pixels.zero_()
            return Choice(torch.arange(40).expand(len(seen.tokens), -1))

        def left(self, count, stage, arch):
            return 40

    monkeypatch.setitem(REGISTRY, "writes", Writes)
    video = clips(demo)
    before = video.clone()
    found = demo.forward_all(video, ["writes", "sta:r=12", "none"])
    for logits, reduction in zip(found, ["writes", "sta:r=12", "none"], strict=True):
        assert torch.equal(logits, alone(demo, video, [reduction])[0])
    assert torch.equal(video, before)


@torch.inference_mode()
def test_a_class_with_logits_of_its_own_does_not_run_those_that_it_is_built_on(model) -> None:
    class Doubled(VisionTransformer):
        def logits(self, video, stages, branches):
            return 2 * super().logits(video, stages, branches)

    other = Doubled(model.arch, model.num_classes)
    video = torch.randn(2, 3, 4, 16, 16)
    assert torch.equal(other.forward_all(video, ["none"])[0], other(video))


def test_a_family_that_shares_nothing_runs_each_alone(model) -> None:
    class Alone(VisionTransformer):
        shared_logits = VisionTransformer.__mro__[1].shared_logits

        def logits(self, video, stages, branches):
            assert self.reduction is stages.reduction
            return VisionTransformer.shared_logits(self, video, [stages], branches)[0]

    other = Alone(model.arch, model.num_classes)
    other.load_state_dict(model.state_dict())
    other.set_reduction("random:r=1")
    video, reductions = torch.randn(2, 3, 4, 16, 16), ["none", "sta:r=1,at=1"]
    with torch.inference_mode():
        found = other.forward_all(video, reductions)
        assert all(torch.equal(*pair) for pair in zip(found, alone(model, video, reductions), strict=True))
    assert str(other.reduction) == "random:r=1"
