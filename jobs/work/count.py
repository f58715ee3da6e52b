"""GFLOPs, by fvcore's convention: one multiply-add counts as one. No weights are allocated unless fvcore counts."""

import time

import torch

from jobs.node.task import Task
from jobs.spec.jobs import Count
from models import count_flops, create_model
from models.video_model import VideoModel
from results.metrics import METRICS
from results.records import Record

_SOURCES = {"meta": "torch's counter on the meta device", "fvcore": "fvcore on real tensors"}


def run(job: Count, task: Task) -> None:
    """Count every cell of the job."""
    made: dict[str, VideoModel] = {}
    for number, cell in enumerate(job.cells):
        task.check_stop()
        started, began = task.now(), time.perf_counter()
        if cell.model not in made:
            made.clear()  # fvcore's are real, and a large one is enough at a time
            with torch.device("cpu" if job.counter == "fvcore" else "meta"):
                made[cell.model] = create_model(cell.model)
        model = made[cell.model]
        model.set_reduction(cell.reduction)
        flops = count_flops(model, with_fvcore=job.counter == "fvcore")
        task.write(
            Record(
                id=job.record_id(cell),
                cell=vars(cell),
                value=flops / 1e9,
                unit=METRICS[cell.metric].unit,
                status="done",
                settings=job.settings(cell),
                samples={"multiply_adds": flops, "seconds": time.perf_counter() - began},
                notes=[f"counted by {_SOURCES[job.counter]}, one clip, one multiply-add as one"],
                provenance=task.provenance(),
                profile=task.profile,
                job=job.id,
                started=started,
                ended=task.now(),
            )
        )
        task.update(number + 1, len(job.cells))
