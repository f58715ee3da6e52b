"""The clips that an evaluation takes of videos: which frames are read, and which views are cut out of them."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jobs.data.decoding.faults import Unreadable
from jobs.data.labels import read_labels
from jobs.data.pool import DecodePool
from jobs.data.requests import ClipRequest, Video
from jobs.data.tolerance import check_tolerance
from jobs.data.views import View, distinct_views
from jobs.node.device import to_device
from jobs.node.task import Task
from jobs.spec.jobs import Dataset, Evaluate
from jobs.spec.sampling import sampling
from models.architecture import Architecture
from models.catalog import architecture


def clip_request(dataset: Dataset, arch: Architecture, grids: tuple[str, ...]) -> ClipRequest:
    """What the decoders need to know to read just the frames of `grids`."""
    return ClipRequest(sampling(arch.sampling, dataset.sampling, arch.frames, dataset.stride), grids, arch.image)


def views_of_video(job: Evaluate, video: Video, grids: tuple[str, ...]) -> tuple[list[View], dict[str, np.ndarray]]:
    """The distinct views of a video under `grids`, and for each grid which of them make it up."""
    (height, width), request = video.frames.shape[1:3], clip_request(job.dataset, architecture(job.model), grids)
    views, members = distinct_views(request.sampling, video.num_frames, height, width, grids, request.short_side)
    return views, {grid: np.array(rows) for grid, rows in members.items()}


def cut(frames: Tensor, video: Video, view: View, side: int) -> Tensor:
    """One view: uint8 (T, side, side, 3) of the decoded frames (F, H, W, 3)."""
    rows = to_device(np.searchsorted(video.numbers, view.frames), frames.device)
    height, width = frames.shape[1:3]
    top, left = (0, view.offset) if width >= height else (view.offset, 0)
    return frames[rows, top : top + side, left : left + side]


def sample_clips(job: Evaluate, wanted: int, task: Task, skipped: list[dict[str, str]]) -> Tensor:
    """Up to `wanted` clips (N, F, side, side, 3) uint8 of the job's views, of videos evenly spread over its list, in
    whole batches where there are enough. Unreadable videos go to `skipped`; ValueError where none is left."""
    (grid,) = {cell.views for cell in job.cells}
    arch, dataset = architecture(job.model), job.dataset
    items = read_labels(dataset.labels, dataset.root, dataset.num_classes, dataset.classes)
    videos = min(len(items), wanted)
    request = clip_request(dataset, arch, (grid,))
    order = [items[k * len(items) // videos] for k in range(videos)]
    rounds: list[list[Tensor]] = [[] for _ in range(-(-wanted // videos))]
    with DecodePool(job.decoders, job.decode_timeout_s, ahead=job.block) as pool:
        for item, video in pool.read((item, item.file, request) for item in order):
            task.check_stop()
            if isinstance(video, Unreadable):
                skipped.append({"video": item.path, "reason": str(video)})
                check_tolerance(skipped, len(order), job.tolerance)
                continue
            frames, (views, _) = torch.from_numpy(video.frames), views_of_video(job, video, (grid,))
            number = len(rounds[0])  # another view of each video, so that all are among the clips
            for k, taken in enumerate(rounds[: len(views)]):
                taken.append(cut(frames, video, views[(number + k) % len(views)], arch.image))
    found = [clip for taken in rounds for clip in taken]
    if not found:
        raise ValueError(f"{Path(job.dataset.labels)} has no video that can be read")
    whole = min(wanted, len(found)) // job.batch_size * job.batch_size
    return torch.stack(found[: whole or wanted])
