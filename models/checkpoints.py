"""Loads weights in the formats in which they are published: VideoMAE's, Hugging Face's and plain safetensors.

Loading is strict, and nothing that a file holds is ever executed.
"""

import argparse
import json
import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.catalog import Architecture
from models.vit import VisionTransformer

LISTED = 4  # names in an error message before "and n more"

# Hugging Face's names → VideoMAE's, replaced in this order.
NAMES = {
    "videomae.embeddings.patch_embeddings.projection": "patch_embed.proj",
    "videomae.encoder.layer": "blocks",
    "videomae.layernorm": "norm",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.attention": "attn",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "classifier": "head",
}


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit the model."""


def load_checkpoint(model: VisionTransformer, path: str | Path) -> None:
    """Copy the weights stored at `path` into `model`, which keeps its device and dtype.

    path: a VideoMAE `.pth` file (the state dict bare or under `module` or `model`), a `.safetensors` file with the
    same names, or a folder in Hugging Face's layout (`config.json` with `model.safetensors` or `pytorch_model.bin`).
    Raises CheckpointError, leaving the model as it was, where nothing can be read or a parameter is missing, extra or
    of the wrong shape.
    """
    path = Path(path)
    state = _weights(path, model.arch, pooled=True)
    if any(name.startswith(("encoder.", "decoder.")) for name in state):
        raise CheckpointError(
            f"{path} is a pre-training checkpoint (it has an encoder and a decoder, no classifier): a training can "
            "start from it; the fine-tuned model is needed here"
        )
    _copy(state, model.state_dict(), path)


def load_pretrained(
    model: VisionTransformer, path: str | Path, new: Sequence[str] = (), unused: Sequence[str] = ()
) -> None:
    """Copy the weights from which a training starts into `model`, which keeps its device and dtype.

    path: as for `load_checkpoint`, of a pre-trained or a fine-tuned model; the prefix `encoder.` is taken off.
    new: names of the model's parameters, or their beginnings up to a dot, that stay as they are, whether the file has
    them or not; VideoMAE's mean pooling starts `fc_norm` and `head` anew. unused: the same of what the file has and the
    model has not, as `decoder`. Raises CheckpointError, leaving the model as it was, where nothing can be read, a name
    in `new` is not the model's, or anything that is not named is missing, extra or of the wrong shape.
    """
    path = Path(path)
    whole = model.state_dict()
    unknown = [name for name in new if not any(_covers([name], parameter) for parameter in whole)]
    if unknown:
        parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in whole))
        raise CheckpointError(f"no parameter of the model is called {_few(unknown)} (train.new); its parts are {parts}")
    own = {name: tensor for name, tensor in whole.items() if not _covers(new, name)}
    state = {}
    for name, tensor in _weights(path, model.arch, pooled=False).items():
        name = name.removeprefix("encoder.")
        if not _covers(new, name) and (name in own or not _covers(unused, name)):
            state[name] = tensor
    _copy(state, own, path, "; name in train.new what starts anew, and in train.unused what the model has no use for")


def _covers(beginnings: Sequence[str], name: str) -> bool:
    return any(name == beginning or name.startswith(f"{beginning}.") for beginning in beginnings)


def _copy(state: dict[str, Tensor], own: dict[str, Tensor], path: Path, remedy: str = "") -> None:
    """Copy `state`, read from `path`, into the model's `own` tensors, all or none of them."""
    faults = {
        "missing": [name for name in own if name not in state],
        "extra": [name for name in state if name not in own],
        "of the wrong shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in own.items()
            if name in state and state[name].shape != tensor.shape
        ],
    }
    found = [f"{fault}: {_few(names)}" for fault, names in faults.items() if names]
    if found:
        raise CheckpointError(f"{path} does not fit the model; {'; '.join(found)}{remedy}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])


def _few(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _weights(path: Path, arch: Architecture, pooled: bool) -> dict[str, Tensor]:
    """What is stored at `path`, under VideoMAE's names. pooled: whether the model must end in mean pooling."""
    return _from_folder(path, arch, pooled) if path.is_dir() else _state_dict(path)


def _from_folder(folder: Path, arch: Architecture, pooled: bool) -> dict[str, Tensor]:
    _check_config(folder / "config.json", arch, pooled)
    files = [folder / name for name in ("model.safetensors", "pytorch_model.bin")]
    file = next((file for file in files if file.exists()), None)
    if file is None:
        raise CheckpointError(f"{folder} holds neither model.safetensors nor pytorch_model.bin")
    state = {}
    for name, tensor in _state_dict(file).items():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        state[name] = tensor
    for i in range(arch.depth):
        parts = [f"blocks.{i}.attn.{part}.weight" for part in ("query", "key", "value")]
        if all(part in state for part in parts):
            state[f"blocks.{i}.attn.qkv.weight"] = torch.cat([state.pop(part) for part in parts])
    return state


def _check_config(file: Path, arch: Architecture, pooled: bool) -> None:
    """Compare what the shapes of the weights do not tell, as the number of heads, which some conversions have wrong."""
    if not file.is_file():
        raise CheckpointError(f"{file.parent} is no Hugging Face model folder: it has no config.json")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file} is not valid JSON: {error}") from error
    expected = {
        "hidden_size": arch.dim,
        "num_hidden_layers": arch.depth,
        "num_attention_heads": arch.heads,
        "image_size": arch.image,
        "patch_size": arch.patch,
        "num_frames": arch.frames,
        "tubelet_size": arch.tubelet,
        "hidden_act": "gelu",
    } | ({"use_mean_pooling": True} if pooled else {})
    given = config if isinstance(config, dict) else {}
    wrong = [f"{key} {given.get(key)} instead of {value}" for key, value in expected.items() if given.get(key) != value]
    if wrong:
        raise CheckpointError(f"{file} does not fit the model; {'; '.join(wrong)}")


def _state_dict(file: Path) -> dict[str, Tensor]:
    content = _read(file)
    if isinstance(content, dict):
        inner = next((content[key] for key in ("module", "model") if isinstance(content.get(key), dict)), content)
        if inner and all(isinstance(tensor, Tensor) for tensor in inner.values()):
            return dict(inner)
        content = list(map(str, inner))
    raise CheckpointError(f"{file} holds no state dict, neither bare nor under module or model: {str(content)[:80]}")


def _read(file: Path) -> Any:
    """What a file holds, its tensors on the CPU and not copied into memory where the format allows that."""
    if not file.is_file():
        raise CheckpointError(f"there is no checkpoint at {file}")
    try:
        with file.open("rb") as stream:
            start = stream.read(32)
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from error
    if not start:
        raise CheckpointError(f"{file} is empty")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{file} is only a pointer left by Git LFS; `git lfs pull` fetches the weights")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        # VideoMAE's scripts store their command line too, as a Namespace: an object that runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except Exception as error:  # a damaged file can make the readers raise anything
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            raise CheckpointError(
                f"{file} holds an object ({refused[1]}), and loading that could run code; save the state dict alone"
            ) from error
        raise CheckpointError(f"{file} is damaged or no checkpoint ({type(error).__name__} while reading)") from error
