"""Training steps: seconds, speed-up against the FLOPs ratio, peak memory."""

from functools import partial
from statistics import median

import torch

from benchmarks.forward import DTYPES
from benchmarks.gpu.place import Place, Result
from benchmarks.train_step import Step
from models import count_flops, create_model

HEADERS = "precision", "clips", "s, none", "s, STA", "speed-up", "FLOPs ratio", "of that", "GiB, none", "GiB, STA"


def run(place: Place) -> None:
    name, reduced = ("vit_demo", "sta:r=12") if place.small else ("vit_base", "sta:r=48")
    title = f"Training steps of {name}, {reduced}: forward, loss, backward, AdamW with fp32 masters"
    result = place.table(title, *HEADERS)
    with torch.device("meta"):
        ratio = count_flops(create_model(name)) / count_flops(create_model(name, reduced))
    for precision in ("fp32",) if place.device == "cpu" else place.precisions:
        for clips in (2,) if place.small else (8, 64):  # repeated augmentation makes two of each video
            row = partial(_row, place, result, name, reduced, precision, clips, ratio)
            place.attempt(result, f"{precision}, {clips} clips", 5, row)


def _row(place: Place, result: Result, name: str, reduced: str, precision: str, clips: int, ratio: float) -> None:
    steps, peaks = {}, []
    for one in ("none", reduced):
        before = torch.cuda.memory_allocated() / 2**30 if place.device == "cuda" else 0.0
        step = Step(one, place.device, DTYPES[precision], clips, name)
        step.peak_gib()  # forgets what was before
        step.run()
        peaks.append(step.peak_gib() - before)
        steps[one] = step.run
    times = place.turns(steps, 8)
    faster = median(one / other for one, other in zip(*times.values(), strict=True))
    result.add(
        precision, clips, *(f"{median(found):.4g}" for found in times.values()), f"{faster:.2f}", f"{ratio:.2f}",
        f"{faster / ratio:.2f}", *(f"{one:.2f}" for one in peaks),
    )  # fmt: skip
