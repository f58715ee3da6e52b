"""How a model is trained: the recipe of Table 1, its paper's values as defaults, each with its source.

Sources: "A" is section A of STA's supplement. What that leaves open has VideoMAE's public value for fine-tuning ViT-B
on Kinetics-400, or says otherwise. Imports nothing heavy.
"""

import re
from dataclasses import dataclass

RANDAUGMENT = re.compile(r"rand(-(m|n|mmax)\d+|-(mstd|p)\d+(\.\d+)?|-inc[01]|-t(weights|3aw?))*")
"""A description of RandAugment that timm understands; it ignores what it does not understand."""


@dataclass(frozen=True)
class Recipe:
    """What decides how a training ends; where and how fast it runs is said elsewhere."""

    epochs: float = 100.0
    """Passes over the training videos with whole clips. A; VideoMAE trains ViT-L for 35 and SSv2 for 30 to 50."""
    batch: int = 128
    """Videos in an optimiser step, over all processes. A: total batch size."""
    base_lr: float = 1e-3
    """Learning rate for a batch of 256; the peak is base_lr × batch / 256. A; VideoMAE's for ViT-L is 2e-3."""
    min_lr: float = 1e-6
    """Learning rate at the end of the cosine. Open: VideoMAE."""
    warmup_lr: float = 1e-6
    """Learning rate at the first step. Open: VideoMAE."""
    warmup_epochs: float = 5.0
    """Epochs in which the learning rate rises linearly to its peak. A."""
    weight_decay: float = 0.05
    """AdamW's decay, of weights with at least two dimensions; biases and 1-D weights have none. A; the exception:
    VideoMAE."""
    beta1: float = 0.9
    """AdamW's first momentum. Open: VideoMAE."""
    beta2: float = 0.999
    """AdamW's second momentum. Open: VideoMAE."""
    eps: float = 1e-8
    """AdamW's eps. Open: VideoMAE."""
    layer_decay: float = 0.75
    """Each block's learning rate is this times the next one's. Open: VideoMAE."""
    drop_path: float = 0.1
    """Stochastic depth: the last block's probability of skipping a branch; it rises linearly from 0 at the first.
    Open: VideoMAE."""
    clip_norm: float = 0.0
    """Largest norm of a step's gradient, scaled down to it if above; 0: no limit. Open: VideoMAE."""
    label_smoothing: float = 0.1
    """Probability spread evenly over all classes. A."""
    mixup: float = 0.8
    """Alpha of mixup; 0: none. A."""
    cutmix: float = 1.0
    """Alpha of cutmix, one box for all frames of a clip; 0: none. A."""
    mixup_prob: float = 1.0
    """Probability that a batch is mixed at all. Open: VideoMAE."""
    switch_prob: float = 0.5
    """Probability of cutmix rather than mixup where both are on. Open: VideoMAE."""
    repeats: int = 2
    """Augmented clips of each video in a batch (repeated augmentation); the video is read once for all. A names the
    method, VideoMAE the number; as there, `batch` and the epochs count videos, not clips."""
    randaugment: str = "rand-m9-mstd0.5-inc1"
    """timm's description of RandAugment, the same operations on all frames of a clip; empty: none. A: magnitude 9,
    deviation 0.5. Open: 2 operations (timm's default) and increasing severity (inc1, as in VideoMAE)."""
    flip: float = 0.5
    """Probability of mirroring a clip, on data sets that allow it. A."""
    erasing: float = 0.0
    """Probability of random erasing. Off, as A does not name it; VideoMAE: 0.25."""
    crop_scale: float = 0.08
    """A training crop covers at least this share of the frame, and up to all of it. Open: VideoMAE."""
    crop_ratio: float = 4 / 3
    """A training crop's sides differ by at most this factor. Open: VideoMAE."""
    short_side: int = 256
    """Pixels of a frame's shorter side before the crop is cut. Open: a common choice for 224² crops."""
    head_scale: float = 0.001
    """Factor on the new head's first weights. Open: VideoMAE."""
    precision: str = "fp16"
    """fp32, fp16 (with a dynamic loss scale) or bf16. A V100 has no bf16."""
    loss_scale_power: int = 7
    """fp16's first loss scale is 2 to this power. Open: VideoMAE."""
    loss_scale_window: int = 128
    """Steps without overflow after which fp16's loss scale doubles. Open: VideoMAE."""
    short_frames: int = 0
    """Frames of a clip in the short epochs. Not in the paper: for small machines, after Wu et al., "A Multigrid Method
    for Efficiently Training Video Models", CVPR 2020. A short clip costs a fraction and shows the same motions."""
    short_epochs: float = 0.0
    """Passes with short clips, before those with whole ones. Not in the paper: 0."""
    seed: int = 0
    """Of the first weights, the order of the videos, and all augmentation."""

    @property
    def lr(self) -> float:
        """The peak learning rate (A: linear scaling)."""
        return self.base_lr * self.batch / 256

    def phases(self, frames: int, videos: int) -> list[tuple[int, int]]:
        """(frames of a clip, optimiser steps) of each phase, for whole clips of `frames` frames and `videos` videos."""
        both = ((self.short_frames, self.short_epochs), (frames, self.epochs))
        return [(length, max(1, round(epochs * (videos // self.batch)))) for length, epochs in both if epochs]


def accumulation(batch: int, processes: int, micro_batch: int) -> int:
    """Micro-batches that each process adds up for a step of `batch` videos.

    ValueError, naming what would divide, where the batch is not processes × micro-batch × a whole number.
    """
    if batch % (processes * micro_batch) == 0:
        return batch // (processes * micro_batch)
    gang = f"{processes} process{'es' if processes > 1 else ''}"
    if batch % processes:
        fitting = divisors(batch // micro_batch if batch % micro_batch == 0 else batch)
        near = sorted(fitting, key=lambda n: abs(n - processes))[:4]
        right = f"numbers of processes that do: {', '.join(map(str, sorted(near)))}"
    else:
        right = f"with {gang} a micro-batch of {', '.join(map(str, divisors(batch // processes)))} does"
    raise ValueError(
        f"a batch of {batch} videos cannot be divided into {gang} × a micro-batch of {micro_batch} "
        f"× a whole number of accumulation steps; {right}"
    )


def divisors(number: int) -> list[int]:
    """All of them, ascending."""
    return [n for n in range(1, number + 1) if number % n == 0]
