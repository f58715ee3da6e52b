"""Train a model on labelled videos in a single process; without arguments, the demo model on the demo videos.

    python -m jobs.demo_weights [--data DIR] [--out FILE]

One command makes the weights in models/weights again: it generates the videos if they are missing, reads each once
through the same decoders as evaluation, and writes the weights (safetensors) with a JSON file beside them that says
how, when and on what they were trained. The strided frames of all videos are kept in memory, as suits a set this
small. Training begins on short clips, which cost a fraction of whole ones and show the same motions, and ends on whole
ones (after Wu et al., "A Multigrid Method for Efficiently Training Video Models", CVPR 2020).
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.scheduler import CosineLRScheduler
from torch import nn

import models
from jobs.data import demo
from jobs.data.labels import read_labels
from jobs.data.memory import StridedRequest, central_clip, random_clip, read_all
from jobs.device import normalise, pick_device
from models import create_model
from models.catalog import architecture
from models.vit import VisionTransformer, sinusoid
from results.files import write_json
from results.provenance import collect, utc_now

WEIGHTS = Path(models.__file__).parent / "weights" / "vit_demo.safetensors"
"""The demo model's weights, as shipped."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. The learning rate, weight decay and schedule follow the supplement, section A."""

    model: str = "vit_demo"
    """Name of the architecture."""
    num_classes: int = len(demo.CLASSES)
    """Classes of the head."""
    stride: int = 4
    """Frames of a video from one frame of a clip to the next."""
    short_frames: int = 4
    """Frames of a clip in the first epochs."""
    short_epochs: int = 28
    """Passes over the training videos with short clips; each gives one random clip and crop a pass."""
    epochs: int = 2
    """Passes with whole clips, after those."""
    batch_size: int = 32
    """Clips a step; an epoch's last, smaller batch is left out."""
    base_lr: float = 1.6e-2
    """Learning rate for a batch of 256; the peak is base_lr × batch_size / 256."""
    min_lr: float = 1e-6
    """Learning rate at the end of the cosine."""
    warmup_epochs: float = 1.0
    """Epochs in which the learning rate rises linearly from 0 to its peak."""
    weight_decay: float = 0.05
    """AdamW's decay, of weights with at least two dimensions; biases and norms have none."""
    label_smoothing: float = 0.1
    """Probability spread evenly over all classes."""
    clip_norm: float = 1.0
    """Largest norm of a step's gradient, scaled down to it if above."""
    seed: int = 0
    """Of the initial weights, the order of the videos, and the clips and crops."""
    threads: int = 2
    """Threads of the model."""
    decoders: int = 2
    """Decoder processes."""
    decode_timeout_s: float = 30.0
    """Seconds after which a video is given up."""

    @property
    def lr(self) -> float:
        """The peak learning rate."""
        return self.base_lr * self.batch_size / 256


class TrainingError(ValueError):
    """Training that cannot go on, its loss being no number."""


def train(
    recipe: Recipe, videos: list[np.ndarray], labels: list[int], report: Callable[[str], None] = print
) -> VisionTransformer:
    """A model in float32 trained on `videos`, the strided frames (F, H, W, 3) uint8 of each, and their labels.

    `report` gets a line of progress every ten seconds. Raises ValueError where the videos do not fill a batch, and
    TrainingError, naming the step, where the loss is not finite.
    """
    steps_an_epoch = len(videos) // recipe.batch_size
    if not steps_an_epoch:
        raise ValueError(f"{len(videos)} videos do not fill a batch of {recipe.batch_size}")
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    device = pick_device()
    model = create_model(recipe.model, num_classes=recipe.num_classes)
    _initialise(model)
    model.train().to(device)
    whole = model.arch.frames
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe.weight_decay), lr=recipe.lr)
    epochs = recipe.short_epochs + recipe.epochs
    schedule = CosineLRScheduler(
        optimizer,
        t_initial=epochs * steps_an_epoch,
        lr_min=recipe.min_lr,
        warmup_t=round(recipe.warmup_epochs * steps_an_epoch),
        t_in_epochs=False,
    )
    rng = np.random.default_rng(recipe.seed)
    progress = _Progress(recipe, steps_an_epoch, whole, report)
    step = 0
    for epoch in range(epochs):
        frames = recipe.short_frames if epoch < recipe.short_epochs else whole
        order = rng.permutation(len(videos))
        for batch in order[: steps_an_epoch * recipe.batch_size].reshape(-1, recipe.batch_size):
            step += 1
            _set_clip(model, frames, int(rng.integers((whole - frames) // model.arch.tubelet + 1)))
            schedule.step_update(step)
            clips = np.stack([random_clip(videos[index], frames, model.arch.image, rng) for index in batch])
            targets = torch.tensor([labels[index] for index in batch], device=device)
            logits = model(normalise(torch.from_numpy(clips).to(device)))
            loss = F.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
            if not math.isfinite(loss.item()):
                raise TrainingError(f"the loss is {loss.item()} at step {step}: lower base_lr ({recipe.base_lr:g})")
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            progress.step(step, loss.item(), optimizer.param_groups[0]["lr"])
    return model.eval()


def _set_clip(model: VisionTransformer, frames: int, slot: int) -> None:
    """Let the model take clips of `frames` frames, with the positions of a whole clip from its time slot `slot` on.

    Drawing the slot at random teaches every position before the first whole clip comes.
    """
    arch = model.arch = replace(model.arch, frames=frames)
    first, count = slot * arch.tokens_per_slot, arch.slots * arch.tokens_per_slot
    model.positions = sinusoid(first + count, arch.dim)[:, first:].to(model.positions)


def _initialise(model: VisionTransformer) -> None:
    """Xavier's rule all through: VideoMAE's fixed 0.02 suits its widths and starves a narrow model of signal."""
    nn.init.xavier_uniform_(model.patch_embed.proj.weight.data.flatten(1))
    for module in model.blocks.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    spared = [weight for weight in model.parameters() if weight.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]


class _Progress:
    """Says every ten seconds where the training is; short clips cost less, so the time left is told by frames."""

    def __init__(self, recipe: Recipe, steps_an_epoch: int, whole: int, report: Callable[[str], None]) -> None:
        self._report = report
        self._lengths = [recipe.short_frames] * recipe.short_epochs + [whole] * recipe.epochs
        self._steps_an_epoch = steps_an_epoch
        self._began = self._said = time.perf_counter()

    def step(self, step: int, loss: float, lr: float) -> None:
        now, total = time.perf_counter(), len(self._lengths) * self._steps_an_epoch
        if now - self._said < 10 and step < total:
            return
        self._said = now
        epoch, into = divmod(step, self._steps_an_epoch)
        done = sum(self._lengths[:epoch]) + sum(self._lengths[epoch : epoch + 1]) * into / self._steps_an_epoch
        elapsed = now - self._began
        left = elapsed * (sum(self._lengths) / done - 1)
        rate = step / elapsed
        self._report(f"step {step}/{total}  loss {loss:.3f}  lr {lr:.1e}  {rate:.2f} steps/s  {left:.0f} s left")


@torch.inference_mode()
def central_top1(model: VisionTransformer, videos: list[np.ndarray], labels: list[int]) -> float:
    """Top-1 accuracy in percent by the central view, over the strided frames of each video and their labels."""
    device = next(model.parameters()).device
    correct = 0
    for frames, label in zip(videos, labels, strict=True):
        clip = torch.from_numpy(central_clip(frames, model.arch.frames, model.arch.image))
        correct += int(model(normalise(clip[None].to(device))).argmax()) == label
    return 100 * correct / len(videos)


def save(model: VisionTransformer, path: Path, how: dict[str, Any]) -> None:
    """Write the weights to `path`, and `how` they came about as JSON beside it; each whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}, beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    write_json(path.with_suffix(".json"), how)
    for file in (path, path.with_suffix(".json")):
        file.chmod(0o644)  # weights are to be shared, unlike runs


def train_demo(recipe: Recipe, data: Path, out: Path, report: Callable[[str], None] = print) -> float:
    """Generate what is missing of the demo videos in `data`, train, and write `out`; returns top-1 on val, percent."""
    started, where = utc_now(), collect()
    request = StridedRequest(architecture(recipe.model).image, recipe.stride)
    frames: dict[str, list[np.ndarray]] = {}
    labels: dict[str, list[int]] = {}
    for split in ("train", "val"):
        listed = read_labels(demo.generate(data, split, recipe.decoders, report), data, recipe.num_classes)
        report(f"reading {len(listed)} {split} videos")
        frames[split] = list(read_all(listed, request, recipe.decoders, recipe.decode_timeout_s))
        labels[split] = [item.label for item in listed]
    began = time.perf_counter()
    model = train(recipe, frames["train"], labels["train"], report)
    seconds = time.perf_counter() - began
    top1 = central_top1(model, frames["val"], labels["val"])
    how = {
        "model": recipe.model,
        "recipe": asdict(recipe),
        "data": {"set": demo.VERSION, "train_videos": len(labels["train"]), "val_videos": len(labels["val"])},
        "classes": list(demo.CLASSES),
        "val_top1_central_view": top1,
        "training_seconds": round(seconds, 1),
        "started": started,
        "ended": utc_now(),
        "machine": {name: where["machine"][name] for name in ("cpu", "cores", "memory", "gpu")},
        "versions": where["versions"] | {"python": where["python"]},
        "git": where["git"],
    }
    save(model, out, how)
    report(f"top-1 on val, central view: {top1:.1f} %; {seconds:.0f} s of training; weights in {out}")
    return top1


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.demo_weights", description="Train the demo model.")
    parser.add_argument("--data", type=Path, default=Path("runs/data"), help="folder of the videos (default runs/data)")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="weights to write (default: those shipped)")
    options = parser.parse_args(argv)
    try:
        train_demo(Recipe(), options.data, options.out, lambda line: print(line, flush=True))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
