"""A few small videos with labels, weights for the demo model, and a profile that uses both."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from jobs.spec.cells import Cell
from jobs.spec.jobs import Checkpoint, Dataset, Evaluate
from models import create_model
from tests.bad_videos import write_video

CLASSES = 16


def make_set(folder: Path, videos: int = 5, frames: int = 90, size: tuple[int, int] = (96, 72)) -> Path:
    """Write `videos` moving textures of different lengths under `folder`; returns their label file."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(videos):
        stream = np.random.default_rng(number)
        texture = stream.integers(0, 256, (24, 24, 3), np.uint8).repeat(12, 0).repeat(12, 1)
        count = frames + 7 * number
        pictures = [texture[t : t + size[1], 2 * (t % 60) : 2 * (t % 60) + size[0]] for t in range(count)]
        write_video(folder / f"clip {number}.mp4", np.stack(pictures))
        lines.append(f"clip {number}.mp4 {int(stream.integers(CLASSES))}")
    labels = folder / "val.txt"
    labels.write_text("\n".join(lines) + "\n")
    return labels


def make_weights(path: Path, seed: int = 0) -> Path:
    """Write random weights of the demo model, spread so that its scores differ."""
    torch.manual_seed(seed)
    model = create_model("vit_demo", num_classes=CLASSES)
    with torch.no_grad():
        model.head.weight.mul_(4)
    save_file(model.state_dict(), path)
    return path


def make_dataset(labels: Path) -> Dataset:
    """The set as the planner would describe it."""
    digest = hashlib.sha256(labels.read_bytes()).hexdigest()
    return Dataset("set", str(labels), digest, str(labels.parent), CLASSES, "kinetics", 4)


def make_job(labels: Path, weights: Path, cells: tuple[Cell, ...], **settings: object) -> Evaluate:
    """An evaluation of `cells` on the set."""
    values = {
        "model": "vit_demo",
        "checkpoint": Checkpoint.of(weights),
        "dataset": make_dataset(labels),
        "precision": "fp32",
        "limit": 0,
        "batch_size": 4,
        "block": 2,
        "decoders": 1,
        "decode_timeout_s": 30.0,
        "tolerance": 0.0,
        "threads": 1,
    }
    return Evaluate(cells=cells, **(values | settings))


def make_profile(path: Path, labels: Path, weights: Path, tasks: int = 2, tolerance: float = 0.0) -> Path:
    """A profile that evaluates the demo model on the set, standing in for ViT-L on Kinetics-400."""
    path.write_text(
        f"""
[launch]
tasks = {tasks}
[evaluate]
batch_size = 4
block = 2
decode_timeout_s = 20
tolerance = {tolerance}
[measure]
precision = "fp32"
batch_size = 2
samples = 5
[datasets.set]
labels = "{labels}"
root = "{labels.parent}"
num_classes = {CLASSES}
sampling = "kinetics"
[checkpoints]
"vit_demo/set" = "{weights}"
[stand_in.models]
vit_large = "vit_demo"
[stand_in.datasets]
k400 = "set"
"""
    )
    return path
