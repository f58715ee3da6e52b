"""Training steps: seconds, speed-up against the FLOPs ratio, peak memory."""

from statistics import median

import torch

from benchmarks.forward import DTYPES
from benchmarks.gpu.place import Place, Result
from benchmarks.train_step import Step
from models import count_flops, create_model

HEADERS = ["precision", "clips", "s, none", "s, STA", "speed-up", "FLOPs ratio", "of that", "GiB, none", "GiB, STA"]


def run(place: Place) -> list[Result]:
    name, reduced = ("vit_demo", "sta:r=12") if place.small else ("vit_base", "sta:r=48")
    result = Result(f"Training steps of {name}, {reduced}: forward, loss, backward, AdamW with fp32 masters", HEADERS)
    with torch.device("meta"):
        ratio = count_flops(create_model(name)) / count_flops(create_model(name, reduced))
    for precision in ("fp32",) if place.device == "cpu" else ("fp16", "bf16"):
        for clips in (2,) if place.small else (8, 64):  # repeated augmentation makes two of each video
            if place.left < 5:
                result.notes.append(f"left out, as time ran out: {precision}, {clips} clips")
                continue
            result.rows.append(_row(place, name, reduced, precision, clips, ratio))
    return [result]


def _row(place: Place, name: str, reduced: str, precision: str, clips: int, ratio: float) -> list[str]:
    steps = [Step(one, place.device, DTYPES[precision], clips, name) for one in ("none", reduced)]
    peaks = []
    for step in steps:
        step.peak_gib()  # forgets what was before
        step.run()
        peaks.append(step.peak_gib())
    times = [[place.seconds(step.run) for step in steps] for _ in range(3 if place.small else 8)]
    faster = median(one / other for one, other in times)
    medians = [median(column) for column in zip(*times, strict=True)]
    return [
        precision, str(clips), *(f"{one:.4g}" for one in medians), f"{faster:.2f}", f"{ratio:.2f}",
        f"{faster / ratio:.2f}", *(f"{one:.2f}" for one in peaks),
    ]  # fmt: skip
