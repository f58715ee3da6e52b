"""The networks. They know nothing of jobs or tables.

`create_model`, `load_checkpoint`, `load_pretrained`, `CheckpointError` and `count_flops` are looked up on first use, so
that the catalogue and the reduction grammar can be read without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.checkpoints import load_checkpoint, load_pretrained
    from models.flops import count_flops
    from models.video_model import create_model

__all__ = ["CheckpointError", "count_flops", "create_model", "load_checkpoint", "load_pretrained"]

_HOME = {
    "CheckpointError": "models.weights_reader",
    "count_flops": "models.flops",
    "create_model": "models.video_model",
    "load_checkpoint": "models.checkpoints",
    "load_pretrained": "models.checkpoints",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
