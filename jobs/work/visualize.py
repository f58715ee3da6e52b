"""Figures: which tokens of a clip a model keeps, stage by stage, of the one forward pass that also classifies it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jobs.data.decoding.faults import Unreadable
from jobs.data.labels import Item, class_names, read_labels
from jobs.data.pool import DecodePool
from jobs.data.requests import Request, Video
from jobs.data.views import views_of
from jobs.figures.animation import animate
from jobs.figures.clip_data import page_data
from jobs.figures.drawing import draw, heat_rows, token_rows
from jobs.figures.shown import Shown, shown_stages
from jobs.node.device import autocast, normalise, pick_device, ready_model
from jobs.node.task import Task
from jobs.spec.cells import Cell
from jobs.spec.jobs import Visualize
from jobs.work.clips import clip_request, cut
from jobs.work.evaluate import check_finite, check_unchanged
from models.architecture import Architecture
from models.catalog import architecture
from models.tracing import Stage, trace
from models.video_model import VideoModel
from results.digests import content_sha256
from results.files import private_folder, replacing, write_json
from results.metrics import METRICS
from results.records import Record

NAMED = ("label", "predicted")
"""What a figure's record says by the numbers of classes, and by their names where these are known."""
GRID = "1x1"
"""The central view."""
SIDE = 288
"""Pixels of a frame in a figure, or what comes nearest to it in whole patches."""
KEY = (
    "lowest to highest among the tokens that compete with each other: those of a slot, after stage 1 those of joined "
    "slots. Of scores the highest are dropped. Light grey: dropped before, or without a score"
)


@dataclass(frozen=True)
class Clip:
    """The central view of a video."""

    numbers: tuple[int, ...]
    """Of its frames in the video."""
    taken: torch.Tensor
    """What the model takes: (F, image, image, 3) uint8."""
    shown: np.ndarray
    """The same in the pixels of a figure."""


def run(job: Visualize, task: Task) -> None:
    """Draw every video under every reduction, and write a record for each cell.

    ValueError where no video can be read, or a file is not the one that the job was planned for.
    """
    task.check_stop()
    started = task.now()
    check_unchanged(task.runs, job.dataset, job.checkpoint)
    if job.video and content_sha256([Path(job.video)], task.runs) != job.video_sha256:
        raise ValueError(f"{job.video} has changed since this job was planned; run the sweep again")
    torch.set_num_threads(job.threads)
    dataset = job.dataset
    model = ready_model(
        job.model, dataset.num_classes, pick_device(), job.checkpoint.path, dataset.trained_stride, job.precision
    )
    items = chosen(job)
    names = class_names(dataset.labels, dataset.classes) if dataset.labels else ()
    drawn: dict[Cell, list[dict[str, Any]]] = {cell: [] for cell in job.cells}
    skipped = []
    steps = len(items) * len(job.cells)
    with DecodePool(1, job.decode_timeout_s) as pool:
        for number, item in enumerate(items):
            task.check_stop()
            task.update(number * len(job.cells), steps)
            clip = read(job, item.file, pool)
            if isinstance(clip, Unreadable):
                skipped.append({"video": item.path, "reason": str(clip)})
                continue
            for done, (cell, figures) in enumerate(drawn.items(), 1):
                task.check_stop()
                model.set_reduction(cell.reduction)
                # Two names may be cut to the same; the record's is another for each cell.
                words = f"{_slug(Path(item.path).stem)}-{_slug(cell.reduction)}-{job.record_id(cell)[:6]}"
                name = f"{number + 1:02d}-{words}"
                figure = _figure(job, model, item, clip, task.folder / "figures" / name)
                figure |= {f"{key}_name": names[figure[key]] for key in NAMED if names and figure[key] is not None}
                figures.append({"folder": f"jobs/{job.id}/figures/{name}"} | figure)
                task.update(number * len(job.cells) + done, steps)
    if len(skipped) == len(items):
        raise ValueError(f"no video could be read; the first: {skipped[0]['video']} ({skipped[0]['reason']})")
    provenance = task.provenance()
    for cell, figures in drawn.items():
        task.write(
            Record(
                id=job.record_id(cell),
                cell=vars(cell),
                value=100 * sum(map(_left, figures)) / len(figures),
                unit=METRICS[cell.metric].unit,
                status="partial" if skipped else "done",
                settings=job.settings(cell) | {"device": pick_device().type},
                samples={"figures": figures},
                counts={"evaluated": len(figures), "listed": len(items)},
                skipped=skipped,
                provenance=provenance,
                profile=task.profile,
                job=job.id,
                started=started,
                ended=task.now(),
            )
        )
    task.update(steps, steps)


def chosen(job: Visualize) -> list[Item]:
    """The videos that are shown; one that was given has no label, -1."""
    if job.video:
        return [Item(0, job.video, job.video, -1)]
    items = read_labels(job.dataset.labels, job.dataset.root, job.dataset.num_classes, job.dataset.classes)
    count = min(job.videos, len(items))
    return [items[k * len(items) // count] for k in range(count)]


def read(job: Visualize, file: str, pool: DecodePool[Request, Video]) -> Clip | Unreadable:
    """The central view of a video as the model takes it, and larger, for the eye; or why there is none."""
    arch, pictures = architecture(job.model), []
    for side in (arch.image, _side(arch)):
        request = replace(clip_request(job.dataset, arch, (GRID,)), short_side=side)
        video = pool.submit(file, request).result()
        if isinstance(video, Unreadable):
            return video
        height, width = video.frames.shape[1:3]
        (view,) = views_of(request.sampling, video.num_frames, height, width, GRID, side)
        pictures.append(cut(torch.from_numpy(video.frames), video, view, side))
    return Clip(view.frames, pictures[0], pictures[1].numpy())


@torch.inference_mode()
def look(job: Visualize, model: VideoModel, clip: Clip) -> tuple[torch.Tensor, list[Stage]]:
    """The softmax (classes,) of the clip, and the stages that ran on the way. ValueError where it is no numbers."""
    device = next(model.parameters()).device
    with autocast(job.precision, device):
        logits, stages = trace(model, normalise(clip.taken[None].to(device), model.arch))
    scores = logits[0].float().softmax(dim=-1)
    check_finite(scores.cpu().numpy(), job.model, model.reduction.canonical(model.arch), job.precision)
    return scores, stages


def _figure(job: Visualize, model: VideoModel, item: Item, clip: Clip, folder: Path) -> dict[str, Any]:
    """Draw what the model, as it is set, does with the clip; returns what the record says of it."""
    arch, reduction = architecture(job.model), model.reduction.canonical(architecture(job.model))
    scores, stages = look(job, model, clip)
    shown = Shown(
        video=item.path,
        model=job.model,
        reduction=reduction,
        columns=arch.image // arch.patch,
        slots=arch.slots,
        numbers=clip.numbers,
        frames=clip.shown,
        stages=shown_stages(stages, arch),
    )
    private_folder(folder)
    firsts = shown.numbers[:: shown.tubelet]
    files = ["tokens.png", "tokens.pdf"]
    draw(token_rows(shown), firsts, [folder / "tokens.png", folder / "tokens.pdf"])
    if any(stage.maps for stage in stages):
        draw(heat_rows(shown), firsts, [folder / "heat.png", folder / "heat.pdf"], KEY)
        files += ["heat.png", "heat.pdf"]
    animate(shown, folder / "clip.gif")
    _write_places(folder / "kept.npz", clip, stages)
    files += ["clip.gif", "kept.npz"]
    write_json(folder / "page.json", page_data(shown))
    return {
        "video": item.path,
        "files": files,
        "label": item.label if item.label >= 0 else None,
        "predicted": int(scores.argmax()),
        "probability": float(scores.max()),
        "tokens": arch.slots * arch.tokens_per_slot,
        "stages": [_stage(arch, stage) for stage in stages],
    }


def _write_places(file: Path, clip: Clip, stages: Sequence[Stage]) -> None:
    """The frames' numbers and of each stage the places (models/tracing.py) seen and kept, the token that holds each
    place after it (−1: none), and the maps as they are."""
    arrays: dict[str, Any] = {"frames": np.array(clip.numbers)}
    for number, stage in enumerate(stages, 1):
        seen = stage.seen()
        parts = {"seen": seen, "kept": stage.kept(), "token": stage.after[0]}
        parts |= {name: values[0][seen] for name, values in stage.maps.items()}
        arrays |= {f"stage{number}_{name}": values.cpu().numpy() for name, values in parts.items()}
    with replacing(file) as temporary, open(temporary, "wb") as content:
        np.savez_compressed(content, **arrays)


def _stage(arch: Architecture, stage: Stage) -> dict[str, int]:
    """What a stage left; on a grid, also of how many."""
    found = {"block": stage.block, "kept": stage.count()}
    return found | ({"of": arch.starts[stage.block]} if arch.on_grid else {})


def _left(figure: dict[str, Any]) -> float:
    """The share of its tokens that are left after the last stage; where each stage has a grid of its own, of all."""
    stages = figure["stages"]
    if stages and "of" in stages[0]:
        return sum(stage["kept"] for stage in stages) / sum(stage["of"] for stage in stages)
    return stages[-1]["kept"] / figure["tokens"] if stages else 1.0


def _side(arch: Architecture) -> int:
    """Of a frame in a figure: a multiple of the patches across it."""
    columns = arch.image // arch.patch
    return columns * round(SIDE / columns)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40] or "video"
