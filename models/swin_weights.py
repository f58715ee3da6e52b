"""Weights of Video Swin Transformers as they are published, under torchvision's names or the original code's."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from models.catalog import ARCHITECTURES, VideoSwin
from models.weights_reader import CheckpointError, state_dict

INDEX = "attn.relative_position_index"
"""A buffer of every block that all files hold and every model makes for itself."""
TABLE = "attn.relative_position_bias_table"


def published(path: Path, arch: VideoSwin, index: Tensor) -> dict[str, Tensor]:
    """The weights in a file, under torchvision's names. index: (P, P), the relative positions of the model's windows.
    CheckpointError where the file is of other windows."""
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give the file of the weights, torchvision's or the original code's")
    stored, _ = state_dict(path)
    original = any(name.startswith(("backbone.", "cls_head.")) for name in stored)
    state = {_renamed(name): tensor for name, tensor in stored.items()} if original else stored
    _check_window(state, arch, path)
    blocks = {name.removesuffix(TABLE) for name in state if name.endswith(TABLE)}
    for name in [f"{block}{INDEX}" for block in blocks if f"{block}{INDEX}" in state]:
        found = state.pop(name)
        if found.shape != index.shape or not bool((found.cpu() == index).all()):
            raise CheckpointError(f"{path} numbers the positions of its windows in another way ({name})")
    return state


def _renamed(name: str) -> str:
    """torchvision's name of what the original code calls `name`."""
    name = name.removeprefix("backbone.").replace("cls_head.fc_cls.", "head.")
    name = re.sub(r"^layers\.(\d+)\.blocks\.", lambda found: f"features.{2 * int(found[1])}.", name)
    name = re.sub(r"^layers\.(\d+)\.downsample\.", lambda found: f"features.{2 * int(found[1]) + 1}.", name)
    return name.replace(".mlp.fc1.", ".mlp.0.").replace(".mlp.fc2.", ".mlp.3.")


def _check_window(state: Mapping[str, Tensor], arch: VideoSwin, path: Path) -> None:
    rows = {tensor.shape[0] for name, tensor in state.items() if name.endswith(TABLE) and tensor.dim() == 2}
    for other in sorted(rows - {arch.positions}):
        of = {name: one for name, one in ARCHITECTURES.items() if isinstance(one, VideoSwin) and one.positions == other}
        window = next((f", those of windows of {_sides(one)}" for one in of.values()), "")
        names = [
            name for name, one in of.items() if replace(one, window=arch.window, num_classes=arch.num_classes) == arch
        ]
        right = f"; the model for these weights is {' or '.join(names)}" if names else ""
        raise CheckpointError(
            f"{path} has tables of {other} relative positions{window}; the model has windows of {_sides(arch)}, "
            f"{arch.positions} positions{right}"
        )


def _sides(arch: VideoSwin) -> str:
    return " × ".join(map(str, arch.window))
