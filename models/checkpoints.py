"""Loads weights into a model, strictly: all of them, of the right shapes and types, or nothing.

In which formats they are published, each family's file says.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.video_model import VideoModel
from models.weights_reader import CheckpointError

_PREFIX = re.compile(r"((module|_orig_mod|model|backbone|encoder)\.)+")
LISTED = 4  # names in an error message before "and n more"


def load_checkpoint(model: VideoModel, path: str | Path, stride: int | None = None) -> None:
    """Copy the weights stored at `path` into `model`, which keeps its device and dtype.

    path: a file of PyTorch's (the state dict bare or under `module`, `model` or `state_dict`) or of safetensors, with
    VideoMAE's names for a ViT, torchvision's or the original code's for a Video Swin; for a ViT also a folder in
    Hugging Face's layout (`config.json` with `model.safetensors` or `pytorch_model.bin`).
    stride: every how many frames of a video clips will take one; None: it does not matter.
    Raises CheckpointError, leaving the model as it was, where nothing can be read, a parameter is missing, extra, of
    the wrong shape or type or not finite, or the file says that it was trained on other clips.
    """
    own = model.state_dict()
    _copy(_fitting(model, Path(path), own, stride), own)


def check_checkpoint(model: VideoModel, path: str | Path, stride: int | None = None) -> None:
    """Raise what `load_checkpoint` would raise; the model, which may be on the meta device, stays as it is."""
    _fitting(model, Path(path), model.state_dict(), stride)


def _fitting(model: VideoModel, path: Path, own: dict[str, Tensor], stride: int | None) -> dict[str, Tensor]:
    """The weights of a fine-tuned model, which fit the model's `own`."""
    _check_folder(path)
    state = _found_under(model.fine_tuned(path, stride), own)
    _check(state, own, path)
    return state


def _check_folder(path: Path) -> None:
    """CheckpointError for the folder in which DeepSpeed keeps a training's state."""
    if path.is_dir() and any(any(path.glob(f"{place}*_model_states.pt")) for place in ("", "*/")):
        made = "its script zero_to_fp32.py, in that folder or the one above, makes a file of weights of it"
        raise CheckpointError(f"{path} is a training's state as DeepSpeed keeps it; {made}")


def _found_under(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights without a prefix such as `model.backbone.`, where all of the model's names stand under it; what else
    there is keeps its name."""
    first = next(iter(own))
    for name in state:
        prefix = name.removesuffix(first)
        if prefix != name and _PREFIX.fullmatch(prefix) and all(f"{prefix}{one}" in state for one in own):
            return {one.removeprefix(prefix): tensor for one, tensor in state.items()}
    return state


def load_pretrained(model: VideoModel, path: str | Path, new: Sequence[str] = (), unused: Sequence[str] = ()) -> None:
    """Copy the weights from which a training starts into `model`, which keeps its device and dtype.

    path: as for `load_checkpoint`, of a pre-trained or a fine-tuned model; the prefix `encoder.` is taken off. new:
    names of the model's parameters, or their beginnings up to a dot, that stay as they are, whether the file has them
    or not; VideoMAE's mean pooling starts `fc_norm` and `head` untrained. unused: the same of what the file has and the
    model has not, as `decoder`. Raises CheckpointError, leaving the model as it was, where nothing can be read, a name
    in `new` is not the model's, or anything that is not named is missing, extra, of the wrong shape or type or not
    finite.
    """
    _copy(*_start(model, Path(path), new, unused))


def check_pretrained(model: VideoModel, path: str | Path, new: Sequence[str] = (), unused: Sequence[str] = ()) -> None:
    """Raise what `load_pretrained` would raise; the model, which may be on the meta device, stays as it is."""
    _start(model, Path(path), new, unused)


def _start(
    model: VideoModel, path: Path, new: Sequence[str], unused: Sequence[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights from which a training starts, and those of the model that they fit."""
    _check_folder(path)
    whole = model.state_dict()
    unknown = [name for name in new if not any(_covers([name], parameter) for parameter in whole)]
    if unknown:
        parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in whole))
        raise CheckpointError(f"no parameter of the model is called {_few(unknown)} (train.new); its parts are {parts}")
    own = {name: tensor for name, tensor in whole.items() if not _covers(new, name)}
    state = {}
    for name, tensor in model.pre_trained(path).items():
        if not _covers(new, name) and (name in own or not _covers(unused, name)):
            state[name] = tensor
    _check(
        state, own, path, "; list in train.new what starts untrained, and in train.unused what the model does not use"
    )
    return state, own


def _covers(beginnings: Sequence[str], name: str) -> bool:
    return any(name == beginning or name.startswith(f"{beginning}.") for beginning in beginnings)


def _check(state: dict[str, Tensor], own: dict[str, Tensor], path: Path, remedy: str = "") -> None:
    """Compare `state`, read from `path`, with the model's `own` tensors."""
    both = {name: state[name] for name in own if name in state}
    faults = {
        "missing": [name for name in own if name not in state],
        "extra": [name for name in state if name not in own],
        "of the wrong shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in own.items()
            if name in state and state[name].shape != tensor.shape
        ],
        "of the wrong type": [
            f"{name} {str(tensor.dtype).removeprefix('torch.')}"
            for name, tensor in both.items()
            if not tensor.is_floating_point()
        ],
        "with values that are not finite": [
            name for name, tensor in both.items() if tensor.is_floating_point() and not tensor.float().isfinite().all()
        ],
    }
    found = [f"{fault}: {_few(names)}" for fault, names in faults.items() if names]
    if found:
        raise CheckpointError(f"{path} does not fit the model; {'; '.join(found)}{remedy}")


def _copy(state: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    """Copy `state` into the model's `own` tensors."""
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])


def _few(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
