"""A ViT so small that whole checkpoints of it are written and read in no time."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from models import CheckpointError
from models.catalog import ViT
from models.vit import VisionTransformer

TINY = ViT.of(32, 2, 2, image=16, patch=8, frames=4, num_classes=5)


def hugging_face_config(transformers: Any, **settings: Any) -> Any:
    """The same as transformers describes it."""
    return transformers.VideoMAEConfig(
        image_size=TINY.image,
        patch_size=TINY.patch,
        num_frames=TINY.frames,
        tubelet_size=TINY.tubelet,
        hidden_size=TINY.dim,
        num_hidden_layers=TINY.depth,
        num_attention_heads=TINY.heads,
        intermediate_size=4 * TINY.dim,
        num_labels=TINY.num_classes,
        layer_norm_eps=1e-6,
        **settings,
    )


def refusal(model: VisionTransformer, load: Callable[[], None]) -> str:
    """The one-line message with which `load` refuses a checkpoint; the model stays as it was."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert "\n" not in str(caught.value)
    return str(caught.value)
