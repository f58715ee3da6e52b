"""torch.compile follows a forward pass as one graph: a break would cost what compiling saves."""

import pytest
import torch

from models import create_model
from models.catalog import ARCHITECTURES, ViT

SMALL = ViT.of(32, 3, 2, image=32, patch=8, frames=8, num_classes=5)


REDUCTIONS = ["none", "sta:r=4", "tome:r=5,prop=1", "vidtldr:r=9"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_training_pass_is_one_graph(monkeypatch, reduction) -> None:
    monkeypatch.setitem(ARCHITECTURES, "vit_small_graph", SMALL)
    model = create_model("vit_small_graph", reduction).train()
    clips = torch.randn(2, 3, SMALL.frames, SMALL.image, SMALL.image, generator=torch.Generator().manual_seed(0))
    expected = model(clips)
    torch._dynamo.reset()
    try:
        compiled = torch.compile(model, backend="eager", fullgraph=True)  # which raises where it would break
        assert torch.equal(compiled(clips), expected)
    finally:
        torch._dynamo.reset()
