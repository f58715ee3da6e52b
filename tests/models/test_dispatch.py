"""What a forward pass asks of a GPU: it never makes the host wait, and its kernels do not grow unnoticed."""

import pytest
import torch

from benchmarks.dispatched import Dispatched
from models import create_model

KERNELS = {
    "none": 139,
    "sta:r=12": 295,
    "random:r=12": 160,
    "uniform:r=12": 175,
    "tome:r=8": 418,
    "tome:r=8,mode=random_merge": 382,
    "pitome:ratio=0.95": 460,
    "vidtldr:r=40-20": 245,
}
"""Of the demo's model, of 12 blocks. Before they were counted there were 151, of STA 338, of random dropping 178."""


def counted(model: torch.nn.Module, video: torch.Tensor) -> Dispatched:
    with torch.no_grad():
        model(video)  # what is made once is made
        with Dispatched() as found:
            model(video)
    return found


@pytest.mark.parametrize("reduction", KERNELS)
def test_kernels_of_a_forward_pass(demo, reduction) -> None:
    arch = demo.arch
    demo.set_reduction(reduction)
    found = counted(demo, torch.randn(2, 3, arch.frames, arch.image, arch.image))
    assert found.kernels.total() <= KERNELS[reduction]
    assert not found.waits


@pytest.mark.parametrize("reduction", KERNELS)
@pytest.mark.parametrize("name", ["vit_base", "vit_demo"])
def test_the_host_waits_for_nothing_in_a_forward_pass(name, reduction) -> None:
    """On the meta device, which has no numbers to wait for, and to which a copy from here shows."""
    with torch.device("meta"):
        model = create_model(name, reduction).eval()
        arch = model.arch
        video = torch.empty(2, 3, arch.frames, arch.image, arch.image)
    assert not counted(model, video).waits


def test_of_different_lengths_it_waits_once_to_know_them(demo) -> None:
    """How many patches of a clip stand still, RLT cannot know without looking."""
    arch = demo.arch
    demo.set_reduction("rlt")
    clips = torch.randn(2, 3, arch.frames, arch.image, arch.image)
    clips[0] = clips[0, :, :1]
    found = counted(demo, clips)
    assert found.waits == {"index": 1}


@pytest.mark.parametrize("reduction", ["none", "sta:r=8", "random:r=8"])
def test_nor_on_a_video_swin(reduction) -> None:
    torch.manual_seed(0)
    model = create_model("swin_demo", reduction).eval()
    arch = model.arch
    assert not counted(model, torch.randn(1, 3, arch.frames, arch.image, arch.image)).waits


def test_what_waits_is_told() -> None:
    """Each of these makes the host wait on a GPU."""
    some = torch.arange(6.0)
    ways = [lambda: some.sum().item(), lambda: some[some > 2], lambda: some.nonzero(), lambda: torch.equal(some, some)]
    for way in ways:
        with Dispatched() as found:
            way()
        assert found.waits
    with Dispatched() as found:
        torch.empty(6, device="meta").copy_(some)
    assert found.waits
    with Dispatched() as found:
        some * 2 + some.flip(0)
    assert not found.waits
