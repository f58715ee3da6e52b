"""Jobs as plain data, as they are kept in a runs folder. Imports nothing heavy."""

from dataclasses import asdict
from typing import Any

from jobs.spec.cells import Cell
from jobs.spec.jobs import Checkpoint, Count, Dataset, Evaluate, Job, Measure, Train, Visualize
from jobs.spec.kernels import Kernels
from jobs.spec.recipe import Recipe

KINDS: dict[str, type[Job]] = {job.kind: job for job in (Evaluate, Count, Measure, Train, Visualize)}


PARTS = {"checkpoint": Checkpoint, "start": Checkpoint, "dataset": Dataset, "recipe": Recipe, "kernels": Kernels}
"""Fields that are data of their own."""


def to_dict(job: Job) -> dict[str, Any]:
    """Plain data from which `from_dict` makes the job again."""
    data = {"kind": job.kind} | asdict(job)
    if isinstance(job, Train):
        data["evaluate"] = to_dict(job.evaluate)
    return data


def from_dict(data: dict[str, Any]) -> Job:
    """The job that `to_dict` wrote; ValueError where `data` is not one."""
    data = dict(data)
    try:
        job = KINDS[data.pop("kind")]
        data["cells"] = tuple(Cell(**cell) for cell in data["cells"])
        for name, part in PARTS.items():
            if data.get(name):
                data[name] = part(**data[name])
        if data.get("evaluate"):
            data["evaluate"] = from_dict(data["evaluate"])
        for name in ("new", "unused"):
            if name in data:
                data[name] = tuple(data[name])
        return job(**data)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a job: {error}") from error
