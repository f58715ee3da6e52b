"""Weights of VideoMAE as they are published: its own files, and folders in Hugging Face's layout."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.catalog import ViT
from models.weights_files import CONFIG, IN_A_FOLDER, weights_files
from models.weights_reader import CheckpointError, state_dict

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


def fine_tuned(path: Path, arch: ViT, stride: int | None) -> dict[str, Tensor]:
    """The weights of a fine-tuned model at `path`; CheckpointError where they are not, or were trained on other clips
    than `arch` and `stride` will take."""
    state, said = _weights(path, arch, pooled=True)
    if any(name.startswith("decoder.") for name in state) or (
        any(name.startswith("encoder.") for name in state) and not any(name.endswith("head.weight") for name in state)
    ):
        raise CheckpointError(
            f"{path} is a pre-training checkpoint (it has an encoder and a decoder, no classifier): a training can "
            "start from it; the fine-tuned model is needed here"
        )
    _check_said(said, arch, stride, path)
    return state


def pre_trained(path: Path, arch: ViT) -> dict[str, Tensor]:
    """The weights at `path` from which a training can start, without the prefix `encoder.`."""
    state, _ = _weights(path, arch, pooled=False)
    return {name.removeprefix("encoder."): tensor for name, tensor in state.items()}


def _check_said(said: dict[str, Any], arch: ViT, stride: int | None, path: Path) -> None:
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
        which = "; sampling_rate is the dataset's stride in a profile, or its weights_stride"
        remedy = which * wrong[-1].startswith("sampling_rate")
        raise CheckpointError(f"{path} was trained on other clips, according to its args: {'; '.join(wrong)}{remedy}")


def _weights(path: Path, arch: ViT, pooled: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What is stored at `path`, under VideoMAE's names, and what it says of itself beside. pooled: whether the model
    must end in mean pooling."""
    return _from_folder(path, arch, pooled) if path.is_dir() else state_dict(path)


def _from_folder(folder: Path, arch: ViT, pooled: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    _check_config(folder / CONFIG, arch, pooled)
    files = [file for file in weights_files(folder) if file.suffix != ".json"]
    if not files:
        raise CheckpointError(f"{folder} holds neither {' nor '.join(IN_A_FOLDER)}")
    state = {}
    said: dict[str, Any] = {}
    for file in files:
        stored, said = state_dict(file)
        for name, tensor in stored.items():
            for theirs, ours in NAMES.items():
                name = name.replace(theirs, ours)
            state[name] = tensor
    for i in range(arch.depth):
        _join_heads(state, f"blocks.{i}.attn.", folder)
    return state, said


def _join_heads(state: dict[str, Tensor], attn: str, folder: Path) -> None:
    """Queries, keys and values of a block as VideoMAE has them: one weight, and no bias of the keys."""
    parts = [f"{attn}{part}.weight" for part in ("query", "key", "value")]
    if all(part in state for part in parts):
        state[f"{attn}qkv.weight"] = torch.cat([state.pop(part) for part in parts])
    for theirs, ours in (("query", "q_bias"), ("value", "v_bias")):
        if f"{attn}{theirs}.bias" in state:
            state[f"{attn}{ours}"] = state.pop(f"{attn}{theirs}.bias")
    if (bias := state.pop(f"{attn}key.bias", None)) is not None and bias.any():
        raise CheckpointError(f"{folder}: {attn}key.bias is not zero, and VideoMAE's keys have no bias")


def _check_config(file: Path, arch: ViT, pooled: bool) -> None:
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
