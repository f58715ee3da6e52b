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
from models.weights_files import CONFIG, IN_A_FOLDER, weights_files

LISTED = 4  # names in an error message before "and n more"

# What VideoMAE's fine-tuning stores of its command line, and what of an architecture it must be. Positions are
# computed, so the shapes of the weights do not show it.
SAID = {"num_frames": "frames", "input_size": "image", "tubelet_size": "tubelet"}

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


def load_checkpoint(model: VisionTransformer, path: str | Path, stride: int | None = None) -> None:
    """Copy the weights stored at `path` into `model`, which keeps its device and dtype.

    path: a VideoMAE `.pth` file (the state dict bare or under `module` or `model`), a `.safetensors` file with the
    same names, or a folder in Hugging Face's layout (`config.json` with `model.safetensors` or `pytorch_model.bin`).
    stride: every how many frames of a video clips will take one; None: it does not matter.
    Raises CheckpointError, leaving the model as it was, where nothing can be read, a parameter is missing, extra, of
    the wrong shape or type or not finite, or the file says that it was trained on other clips.
    """
    own = model.state_dict()
    _copy(_fitting(model, Path(path), own, stride), own)


def check_checkpoint(model: VisionTransformer, path: str | Path, stride: int | None = None) -> None:
    """Raise what `load_checkpoint` would raise; the model, which may be on the meta device, stays as it is."""
    _fitting(model, Path(path), model.state_dict(), stride)


def _fitting(model: VisionTransformer, path: Path, own: dict[str, Tensor], stride: int | None) -> dict[str, Tensor]:
    """The weights of a fine-tuned model, which fit the model's `own`."""
    state, said = _weights(path, model.arch, pooled=True)
    if any(name.startswith(("encoder.", "decoder.")) for name in state):
        raise CheckpointError(
            f"{path} is a pre-training checkpoint (it has an encoder and a decoder, no classifier): a training can "
            "start from it; the fine-tuned model is needed here"
        )
    _check_said(said, model.arch, stride, path)
    _check(state, own, path)
    return state


def load_pretrained(
    model: VisionTransformer, path: str | Path, new: Sequence[str] = (), unused: Sequence[str] = ()
) -> None:
    """Copy the weights from which a training starts into `model`, which keeps its device and dtype.

    path: as for `load_checkpoint`, of a pre-trained or a fine-tuned model; the prefix `encoder.` is taken off. new:
    names of the model's parameters, or their beginnings up to a dot, that stay as they are, whether the file has them
    or not; VideoMAE's mean pooling starts `fc_norm` and `head` untrained. unused: the same of what the file has and the
    model has not, as `decoder`. Raises CheckpointError, leaving the model as it was, where nothing can be read, a name
    in `new` is not the model's, or anything that is not named is missing, extra, of the wrong shape or type or not
    finite.
    """
    _copy(*_start(model, Path(path), new, unused))


def check_pretrained(
    model: VisionTransformer, path: str | Path, new: Sequence[str] = (), unused: Sequence[str] = ()
) -> None:
    """Raise what `load_pretrained` would raise; the model, which may be on the meta device, stays as it is."""
    _start(model, Path(path), new, unused)


def _start(
    model: VisionTransformer, path: Path, new: Sequence[str], unused: Sequence[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights from which a training starts, and those of the model that they fit."""
    whole = model.state_dict()
    unknown = [name for name in new if not any(_covers([name], parameter) for parameter in whole)]
    if unknown:
        parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in whole))
        raise CheckpointError(f"no parameter of the model is called {_few(unknown)} (train.new); its parts are {parts}")
    own = {name: tensor for name, tensor in whole.items() if not _covers(new, name)}
    state = {}
    for name, tensor in _weights(path, model.arch, pooled=False)[0].items():
        name = name.removeprefix("encoder.")
        if not _covers(new, name) and (name in own or not _covers(unused, name)):
            state[name] = tensor
    _check(
        state, own, path, "; list in train.new what starts untrained, and in train.unused what the model does not use"
    )
    return state, own


def _covers(beginnings: Sequence[str], name: str) -> bool:
    return any(name == beginning or name.startswith(f"{beginning}.") for beginning in beginnings)


def _check_said(said: dict[str, Any], arch: Architecture, stride: int | None, path: Path) -> None:
    """Compare the clips that the file says it was trained on with those that the model will see."""
    expected = {name: getattr(arch, field) for name, field in SAID.items()}
    if stride:
        expected["sampling_rate"] = stride
    wrong = [
        f"{name} {said[name]} instead of {value}"
        for name, value in expected.items()
        if isinstance(said.get(name), int) and said[name] != value
    ]
    if wrong:
        remedy = "; sampling_rate is the dataset's stride in a profile" * wrong[-1].startswith("sampling_rate")
        raise CheckpointError(f"{path} was trained on other clips, according to its args: {'; '.join(wrong)}{remedy}")


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


def _weights(path: Path, arch: Architecture, pooled: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What is stored at `path`, under VideoMAE's names, and what it says of itself beside. pooled: whether the model
    must end in mean pooling."""
    return _from_folder(path, arch, pooled) if path.is_dir() else _state_dict(path)


def _from_folder(folder: Path, arch: Architecture, pooled: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    _check_config(folder / CONFIG, arch, pooled)
    file = weights_files(folder)[-1]
    if file.name == CONFIG:
        raise CheckpointError(f"{folder} holds neither {' nor '.join(IN_A_FOLDER)}")
    state = {}
    stored, said = _state_dict(file)
    for name, tensor in stored.items():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        state[name] = tensor
    for i in range(arch.depth):
        parts = [f"blocks.{i}.attn.{part}.weight" for part in ("query", "key", "value")]
        if all(part in state for part in parts):
            state[f"blocks.{i}.attn.qkv.weight"] = torch.cat([state.pop(part) for part in parts])
    return state, said


def _check_config(file: Path, arch: Architecture, pooled: bool) -> None:
    """Compare what the shapes of the weights do not show, such as the number of heads, which some conversions have
    wrong."""
    if not file.is_file():
        raise CheckpointError(f"{file.parent} is not a Hugging Face model folder: it has no config.json")
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


def _state_dict(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors that a file holds, and the command line that it says they were made by."""
    content = _read(file)
    if isinstance(content, dict):
        said = content.get("args", {})
        said = vars(said) if isinstance(said, argparse.Namespace) else said
        inner = next((content[key] for key in ("module", "model") if isinstance(content.get(key), dict)), content)
        if inner and all(isinstance(tensor, Tensor) for tensor in inner.values()):
            return dict(inner), said if isinstance(said, dict) else {}
        content = list(map(str, inner))
    raise CheckpointError(f"{file} holds no state dict, neither bare nor under module or model: {str(content)[:80]}")


def _is_safetensors(start: bytes, file: Path) -> bool:
    """Whether a file begins as safetensors do, whatever it is called: the length of a JSON object, and that."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= file.stat().st_size - 8


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
    if re.match(rb"\s*<(!doctype|html|\?xml)", start, re.IGNORECASE):
        raise CheckpointError(f"{file} is a web page, not a checkpoint; download the file itself")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{file} is only a pointer left by Git LFS; `git lfs pull` fetches the weights")
    try:
        if _is_safetensors(start, file):
            return load_file(file)
        # VideoMAE's scripts store their command line too, as a Namespace: an object that runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Given a path, PyTorch goes by its suffix too.
            mapped = zipfile.is_zipfile(file) and file.suffix != ".safetensors"
            with file.open("rb") as stream:
                return torch.load(file if mapped else stream, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged file can make the readers raise anything
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise CheckpointError(f"{file} cannot be read: {error}") from error
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            raise CheckpointError(
                f"{file} holds an object ({refused[1]}), and loading that could run code; save the state dict alone"
            ) from error
        raise CheckpointError(
            f"{file} is damaged or not a checkpoint ({type(error).__name__} while reading)"
        ) from error
