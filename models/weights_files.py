"""Which files hold a model's weights. Imports no torch."""

from pathlib import Path

CONFIG = "config.json"
IN_A_FOLDER = ("model.safetensors", "pytorch_model.bin")
"""What holds the weights in a folder of Hugging Face's layout; the first that is there counts."""


def weights_files(path: Path) -> list[Path]:
    """The files that are read of the weights at `path`: the file itself, or of a folder in Hugging Face's layout its
    config and its weights, as far as they are there."""
    if not path.is_dir():
        return [path]
    weights = [path / name for name in IN_A_FOLDER if (path / name).exists()]
    return [file for file in [path / CONFIG] if file.exists()] + weights[:1]
