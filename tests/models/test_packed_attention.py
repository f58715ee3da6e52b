"""Clips of different lengths in one kernel's attention, as on a GPU, against clip by clip: torch takes them so on a CPU
too, by slower operators."""

import warnings
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from jobs.work.timing import AttentionRun
from models import create_model, layers
from models.catalog import ARCHITECTURES, ViT
from models.video_model import VideoModel

SMALL = ViT.of(32, 4, 2, image=32, patch=8, frames=8, num_classes=5)
LENGTHS = 5, 17, 1, 9


@pytest.fixture(autouse=True)
def plain_operators() -> Iterator[None]:
    """Those that a CPU has for it, which tell that they are a prototype; those of a GPU are not used here."""
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
        warnings.filterwarnings("ignore", "The PyTorch API of nested tensors")
        yield


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> VideoModel:
    monkeypatch.setitem(ARCHITECTURES, "vit_packed", SMALL)
    torch.manual_seed(0)
    return create_model("vit_packed", "rlt:tau=0.5").eval()


def clips() -> Tensor:
    """Of which each repeats another number of patches."""
    stream = torch.Generator().manual_seed(1)
    still = torch.randn(4, 3, 1, 32, 32, generator=stream).expand(4, 3, 8, 32, 32).clone()
    for number in range(4):
        still[number, :, :, : 8 * number] = torch.randn(3, 8, 8 * number, 32, generator=stream)
    return still


def apart(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    parts = zip(q.split(LENGTHS, 2), k.split(LENGTHS, 2), v.split(LENGTHS, 2), strict=True)
    return torch.cat([F.scaled_dot_product_attention(*part) for part in parts], 2)


def test_values_and_gradients() -> None:
    torch.manual_seed(0)
    given = [torch.randn(1, 3, sum(LENGTHS), 8, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    found, expected = layers.mix_in_one(*given, LENGTHS), apart(*given)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-12)
    weights = torch.randn_like(expected)
    pairs = zip(*(torch.autograd.grad(one, given, weights) for one in (found, expected)), strict=True)
    assert all(torch.allclose(one, other, atol=1e-12) for one, other in pairs)


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_a_whole_model(model, monkeypatch, precision) -> None:
    """In inference mode, as an evaluation runs it."""
    with torch.inference_mode(), torch.autocast("cpu", precision or torch.bfloat16, enabled=bool(precision)):
        expected = model(clips())
        used = []
        monkeypatch.setattr(layers, "by_one_kernel", lambda q, context: used.append(context.lengths) or True)
        with AttentionRun() as run:
            found = model(clips())
    assert run.operators() == ["_scaled_dot_product_attention_math"]
    assert len(used) == SMALL.depth
    assert len(set(used[0])) > 1
    assert torch.allclose(found, expected, atol=1e-5 if precision is None else 5e-2)


def test_a_training_step(model, monkeypatch) -> None:
    def gradients() -> list[Tensor]:
        model.zero_grad()
        model(clips()).square().sum().backward()
        return [one.grad.clone() for one in model.parameters()]

    expected = gradients()
    monkeypatch.setattr(layers, "by_one_kernel", lambda q, context: True)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(gradients(), expected, strict=True))


def test_where_none_is_for_them() -> None:
    """On a CPU, in float64, with biases, and where attention itself is asked for."""
    q = torch.empty(1, 2, 4, 8)
    assert not layers.by_one_kernel(q, layers.Context(lengths=(1, 3)))

    class OnGPU:
        is_cuda = True
        dtype = torch.float16

    class Wide(OnGPU):
        dtype = torch.float64

    assert layers.by_one_kernel(OnGPU(), layers.Context(lengths=(1, 3)))
    assert not layers.by_one_kernel(Wide(), layers.Context(lengths=(1, 3)))
    assert not layers.by_one_kernel(OnGPU(), layers.Context(("attention",), lengths=(1, 3)))
    assert not layers.by_one_kernel(OnGPU(), layers.Context(bias=q, lengths=(1, 3)))
