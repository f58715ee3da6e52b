"""How a model is made ready: converted once, with the bits of being converted in every pass."""

import numpy as np
import pytest
import torch
from torch import nn

from jobs.node import device
from jobs.node.device import Copies, autocast, converted, normalise
from models import create_model
from models.catalog import architecture

CPU = torch.device("cpu")


@torch.inference_mode()
@pytest.mark.parametrize(
    ("name", "reduction"),
    [
        ("vit_demo", "none"),
        ("vit_demo", "sta:r=12"),
        ("vit_demo", "tome:r=8,prop=1"),
        ("vit_demo", "vidtldr:r=40"),
        ("vit_demo", "rlt"),
        ("swin_demo", "none"),
        ("swin_demo", "sta:r=8"),
    ],
)
def test_weights_converted_once_give_the_bits_of_mixed_precision(name, reduction) -> None:
    torch.manual_seed(0)
    model = create_model(name, reduction).eval()
    arch = model.arch
    clips = torch.randn(2, 3, arch.frames, arch.image, arch.image)
    with autocast("bf16", CPU):
        expected = model(clips)
    assert converted(model, "bf16") is model
    assert {layer.weight.dtype for layer in model.modules() if isinstance(layer, nn.Linear)} == {torch.bfloat16}
    assert {layer.weight.dtype for layer in model.modules() if isinstance(layer, nn.LayerNorm)} == {torch.float32}
    with autocast("bf16", CPU):
        assert torch.equal(model(clips), expected)


def test_arrays_are_copied_once_and_only_when_they_are_asked_for(monkeypatch) -> None:
    copied: list[int] = []
    monkeypatch.setattr(device, "to_device", lambda one, where: copied.append(int(one[0])) or torch.from_numpy(one))
    copies = Copies({number: np.full(3, number) for number in (4, 7, 9)}, CPU)
    assert not copied
    for number in (7, 4, 7):
        assert torch.equal(copies[number], torch.full((3,), number))
    assert copied == [7, 4]


def test_full_precision_is_left_alone() -> None:
    model = converted(create_model("vit_demo"), "fp32")
    assert {one.dtype for one in model.parameters()} == {torch.float32}


def test_clips_are_normalised_as_their_model_says_also_in_a_training_after_an_evaluation() -> None:
    arch = architecture("vit_demo")
    clips = torch.randint(0, 256, (1, 2, 4, 5, 3), dtype=torch.uint8)
    with torch.inference_mode():
        normalise(clips, arch)
    weight = torch.ones(1, requires_grad=True)
    found = normalise(clips, arch) * weight
    found.sum().backward()
    mean, std = (torch.tensor(one)[:, None, None, None] * 255 for one in (arch.mean, arch.std))
    assert torch.allclose(found[0], (clips[0].permute(3, 0, 1, 2) - mean) / std, atol=1e-6)
