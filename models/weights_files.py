"""Which files hold a model's weights. Imports no torch."""

import json
from pathlib import Path

CONFIG = "config.json"
IN_A_FOLDER = ("model.safetensors", "pytorch_model.bin")
"""What holds the weights in a folder of Hugging Face's layout, whole, or in several files with an index named after it;
the first that is there counts."""


def split_part(path: Path) -> tuple[Path, str]:
    """A file of weights, and which of several state dicts in it is meant: of `FILE#model_ema`, say; empty: the only
    one."""
    name, mark, part = path.name.rpartition("#")
    return (path.with_name(name), part) if mark and name and not path.exists() else (path, "")


def weights_files(path: Path) -> list[Path]:
    """The files that are read of the weights at `path`: the file itself, or of a folder in Hugging Face's layout its
    config and its weights, as far as they are there."""
    path, _ = split_part(path)
    if not path.is_dir():
        return [path]
    config = [file for file in [path / CONFIG] if file.exists()]
    for name in IN_A_FOLDER:
        if (path / name).exists():
            return [*config, path / name]
        if (index := path / f"{name}.index.json").exists():
            return [*config, index, *(path / part for part in _parts(index))]
    return config


def _parts(index: Path) -> list[str]:
    """The files that an index names, of its own folder; none where it is no index."""
    try:
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return sorted({name for name in named if Path(name).name == name})
    except (ValueError, KeyError, AttributeError, TypeError):
        return []
