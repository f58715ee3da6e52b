"""A forward pass as on a GPU, by tensors without numbers that say where they are: they refuse to mix with
those of another device, and to give the host a number that it would have to wait for."""

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from jobs.node import device
from models import create_model
from models.reduction import _constants
from tests.models.test_shared_passes import ABLATIONS, GRID, METHODS

GPU = torch.device("cuda", 0)
CASES = [("vit_demo", one) for one in METHODS + ABLATIONS if not one.startswith("rlt")] + [
    ("swin_demo", one) for one in GRID
]


@pytest.fixture(autouse=True)
def constants_of_their_own() -> Iterator[None]:
    """What is made once a device is made again: it has no numbers here."""
    kept = _constants._made, device._grey_levels
    for one in kept:
        one.cache_clear()
    yield
    for one in kept:
        one.cache_clear()


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize(("name", "reduction"), CASES)
def test_all_of_it_is_on_the_device(name: str, reduction: str, training: bool) -> None:
    model = create_model(name, reduction).train(training)
    model.drop_path = 0.1
    model._checked.append(model.reduction)  # whether a choice is right is asked once, of the numbers
    arch = model.arch
    parts = dict([*model.named_parameters(), *model.named_buffers()])
    with FakeTensorMode(allow_non_fake_inputs=True), torch.set_grad_enabled(training):
        there = {key: torch.empty(one.shape, device=GPU, requires_grad=training) for key, one in parts.items()}
        shown = torch.empty(2, arch.frames, arch.image, arch.image, 3, dtype=torch.uint8, device=GPU)
        given = [device.normalise(shown, arch)]
        if training:
            given.append(torch.empty(2, 2 * arch.depth, device=GPU))
        assert functional_call(model, there, tuple(given)).device == GPU


def test_what_is_elsewhere_is_refused() -> None:
    with FakeTensorMode(), pytest.raises(RuntimeError, match="cuda"):
        torch.ones(2, device=GPU) + torch.ones(2)


def test_what_the_host_would_wait_for_is_refused() -> None:
    with FakeTensorMode(), pytest.raises(RuntimeError):
        torch.ones(2, device=GPU).sum().item()
