"""Reads the tensors of a weights file. Nothing that a file holds is ever executed."""

import argparse
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.weights_files import split_part

UNDER = ("module", "model", "state_dict", "model_state_dict")
"""Under one of which training scripts store the state dict: VideoMAE's under the first two, OpenMMLab's the third."""

WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that training puts before all names."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit the model."""


def state_dict(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors that a file holds, and the command line that it says they were made by. CheckpointError where there
    are none."""
    file, part = split_part(file)
    content = _read(file)
    if isinstance(content, dict):
        said = content.get("args", {})
        said = vars(said) if isinstance(said, argparse.Namespace) else said
        inner = _meant(content, part, file)
        if inner and all(isinstance(tensor, Tensor) for tensor in inner.values()):
            return _unwrapped(inner), said if isinstance(said, dict) else {}
        content = list(map(str, inner))
    places = f"neither bare nor under {', '.join(UNDER[:-1])} or {UNDER[-1]}"
    raise CheckpointError(f"{file} holds no state dict, {places}: {str(content)[:80]}")


def _meant(content: dict[str, Any], part: str, file: Path) -> dict[str, Any]:
    """Of what a file holds the state dict that is meant: the one called `part`, or the only one there is."""
    there = [key for key, inner in content.items() if isinstance(inner, dict) and _is_state(inner)]
    if part:
        if part not in there:
            found = ", ".join(there) or "none"
            raise CheckpointError(f"{file} has no state dict called {part!r}; those that it has: {found}")
        return dict(content[part])
    if len(there) > 1:
        ways = " or ".join(f"{file.name}#{key}" for key in there)
        raise CheckpointError(f"{file} holds weights under {' and '.join(there)}; say which: {ways}")
    if there:
        return dict(content[there[0]])
    return dict(next((content[key] for key in UNDER if isinstance(content.get(key), dict)), content))


def _is_state(content: dict[Any, Any]) -> bool:
    """Whether it holds weights: tensors alone, by name."""
    return bool(content) and all(isinstance(key, str) and isinstance(one, Tensor) for key, one in content.items())


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what DistributedDataParallel and torch.compile put before every name."""
    while True:
        prefix = next((one for one in WRAPPERS if all(name.startswith(one) for name in state)), "")
        if not prefix:
            return dict(state)
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _is_safetensors(start: bytes, file: Path) -> bool:
    """Whether a file begins as safetensors do, whatever it is called: the length of a JSON object, and that."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= file.stat().st_size - 8


class _Inert:
    """Stands for a number or an array of NumPy's in a file: none of NumPy's own code is given what the file says, as
    that could be made to read any memory."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


_NUMPYS = (
    "ndarray",
    "dtype",
    *(f"{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
)
"""What pickles name of NumPy, in all its versions."""


def _harmless() -> list[Any]:
    """What scripts store beside weights and what runs nothing when it is loaded: their command line as a Namespace
    (VideoMAE's), and numbers and arrays of NumPy's, of which nothing is kept."""
    return [argparse.Namespace, *((_Inert, f"numpy.{name}") for name in _NUMPYS)]


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
        with torch.serialization.safe_globals(_harmless()), warnings.catch_warnings():
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
