"""What jobs cost, by arithmetic alone: forward passes, multiply-adds, bytes on the disk. Imports nothing heavy."""

from dataclasses import replace

from jobs.spec.blocks import split
from jobs.spec.cells import parse_views
from jobs.spec.jobs import WARM_UP_MAX, Evaluate, Measure, Train
from jobs.training.restarts import KEPT
from models.catalog import architecture
from models.reduction import parse
from results.metrics import METRICS

TYPICAL = (300, 256, 340)
"""Frames, height and width of the video that views are counted on: 10 seconds of Kinetics at 30 frames a second. A
shorter one has fewer distinct clips."""
ARRAY_BYTES = 128 + 50 + 46
"""Of an array in a block's file, beside its values and twice its name: the headers of NumPy and of the archive."""
STEP_BYTES = 350
"""Of an optimiser step in steps.csv and TensorBoard's scalars."""


def multiply_adds(model: str, reduction: str, frames: int = 0) -> int | None:
    """What a clip, or one of `frames` frames, costs `model` under `reduction`; None where that shows only when it
    runs."""
    arch = architecture(model)
    arch = replace(arch, frames=frames or arch.frames)
    return parse(reduction).multiply_adds(arch)


def forwards_a_video(job: Evaluate) -> dict[str, int]:
    """By reduction, the distinct views of a typical video."""
    from jobs.data.views import distinct_views, resized
    from jobs.spec.sampling import sampling

    frames, height, width = TYPICAL
    arch, dataset = architecture(job.model), job.dataset
    way = sampling(arch.sampling, dataset.sampling, arch.frames, dataset.stride)
    size = resized(way, height, width, arch.image)
    return {
        reduction: len(distinct_views(way, frames, *size, grids, arch.image)[0])
        for reduction, grids in job.requests().items()
    }


def scores_bytes(job: Evaluate, videos: int) -> int:
    """Of the scores of `videos` videos, as `jobs.work.scores` keeps them: distinct views, and which grid has which."""
    digits, views = len(str(videos)), forwards_a_video(job)
    video = 0
    for reduction, grids in job.requests().items():
        name = digits + len(f"|{reduction}.npy")
        video += ARRAY_BYTES + 2 * name + 4 * job.dataset.num_classes * views[reduction]
        for grid in grids:
            clips, crops = parse_views(grid)
            video += ARRAY_BYTES + 2 * (name + len(f"|{grid}")) + 8 * clips * crops
        for metric in {cell.metric for cell in job.cells if cell.reduction == reduction}:
            if METRICS[metric].kind in ("cost", "content"):
                video += ARRAY_BYTES + 2 * (name + len(f"||{metric}")) + 8 * views[reduction]
    summary = 4 * (digits + 2)  # its number, in the four bytes a character of NumPy's text
    block = ARRAY_BYTES + 4 * len(
        '{"videos": [], "skipped": {}, "decodes": 16, "forwards": 4224, "seconds": 12.345678, '
        '"decoders": {"PyAV": 16}, "attention": {}}'
        + "".join(f'"{reduction}": ["_scaled_dot_product_flash_attention"], ' for reduction in job.requests())
    )
    return videos * (video + summary) + len(split(videos, job.block)) * block


def timed_forwards(job: Measure) -> int:
    """Clips that timings of the model alone take forward at most: of each a warm-up that lasts, and the samples."""
    timed = [cell.metric for cell in job.cells if cell.metric != "peak_memory_gib"]
    return sum(job.batch_of(metric) * (WARM_UP_MAX + job.samples) for metric in timed)


def timed_videos(job: Measure, videos: int) -> int:
    """How many of `videos` videos an end-to-end timing reads: a block for the warm-up and one a sample."""
    return min(videos, job.block * (1 + job.samples))


def training_steps(job: Train, videos: int) -> list[tuple[int, int]]:
    """(frames of a clip, optimiser steps) of each phase that is trained."""
    phases = job.recipe.phases(architecture(job.model).frames, videos)
    return [(frames, min(job.measure_steps or steps, steps)) for frames, steps in phases]


def final_evaluation(job: Train) -> Evaluate | None:
    """How the trained model is evaluated; None where it is not."""
    cells = tuple(cell for cell in job.cells if cell.metric == "top1_trained")
    return replace(job.evaluate, cells=cells) if cells and not job.measure_steps else None


def state_bytes(job: Train) -> int:
    """Of one kept state: AdamW's weights and its two moments in fp32, and the weights as the forward pass has them,
    unless they are the same (fp32 without ZeRO) or not kept (ZeRO 3)."""
    fp32 = job.recipe.precision == "fp32"
    weights = 0 if job.zero_stage == 3 or (fp32 and not job.zero_stage) else 4 if fp32 else 2
    return (12 + weights) * architecture(job.model).parameters(job.dataset.num_classes)


def training_bytes(job: Train, steps: int) -> int:
    """The most disk space that a training of `steps` steps uses at a time: its states while one more is written, the
    final weights in fp32, and what it notes of each step."""
    weights = 4 * architecture(job.model).parameters(job.dataset.num_classes)
    return (KEPT + 1) * state_bytes(job) + weights + STEP_BYTES * steps
