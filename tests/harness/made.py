"""Small profiles, grids, records and jobs for the tests of the control plane; nothing here loads torch."""

import json
import os
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.planning.planner import Planner
from harness.profiles import Profile, load_profile
from harness.tables import Entry, Table
from jobs.spec.cells import Cell
from jobs.spec.jobs import Job
from results.answers import NAME, Answers, bits, packed
from results.attempts import Started, Submission, Tries, claim, last_attempt, write_started, write_submission
from results.files import write_json
from results.metrics import METRICS
from results.progress import job_folder
from results.provenance import utc_now
from results.records import Record, write_record

PROFILE = """
[launch]
{launch}
[evaluate]
block = 4
tolerance = 0.25
[measure]
precision = "fp32"
[train]
precision = "fp32"
tasks_per_node = 2
batch = 8
micro_batch = 2
[datasets.motion]
labels = "val.txt"
train_labels = "train.txt"
root = "."
num_classes = 16
sampling = "kinetics"
[checkpoints]
"vit_demo/motion" = "weights.bin"
{checkpoint}
[pretrained]
"vit_demo/motion" = "scratch"
{checkpoint}
[stand_in.models]
{models}
[stand_in.datasets]
k400 = "motion"
"""


def make_profile(folder: Path, videos: int = 64, stand_in: bool = True, **launch: Any) -> Path:
    """A profile file with label file and weights beside it; the weights are no weights. On SLURM GFLOPs, which cost
    next to nothing, are counted there like all else unless `launch` has it otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("val.txt", videos), ("train.txt", 80)):
        (folder / name).write_text("".join(f"{number}.mp4 {number % 16}\n" for number in range(count)))
    if not (folder / "weights.bin").exists():
        (folder / "weights.bin").write_bytes(b"weights")
    path = folder / "small.toml"
    launch = {"count_here": False} | launch
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in launch.items())
    models = 'vit_base = "vit_demo"\nvit_large = "vit_demo"' if stand_in else ""
    checkpoint = "" if stand_in else '"vit_large/motion" = "weights.bin"'
    path.write_text(PROFILE.format(launch=lines, models=models, checkpoint=checkpoint))
    return path


def make_planner(folder: Path, limit: int = 0, overrides: Iterable[str] = (), **options: Any) -> Planner:
    return Planner(load_profile(str(make_profile(folder, **options)), list(overrides)), folder / "runs", limit)


def make_table(cells: Iterable[Cell], name: str = "grid") -> Table:
    """A table with one row a cell."""
    entries = tuple(Entry(f"row {number}", "value", cell, "") for number, cell in enumerate(cells))
    return Table(name, name, "", tuple(entry.row for entry in entries), ("value",), entries)


def make_grid(path: Path, reductions: Iterable[str], models: Iterable[str] = ("vit_small",)) -> Path:
    """A TOML file that asks for GFLOPs: cheap to measure in earnest."""
    rows, columns = ([f'"{one}"' for one in values] for values in (reductions, models))
    path.write_text(
        f'metric = "gflops"\n[rows]\nreduction = [{", ".join(rows)}]\n[columns]\nmodel = [{", ".join(columns)}]\n'
    )
    return path


def answered(letters: str, videos: str = "list") -> dict[str, Any]:
    """Samples of an accuracy's record, of a word: 1 for a video that is right, of the list `videos`."""
    found = Answers(len(letters), bits(letter == "1" for letter in letters), (1 << len(letters)) - 1, videos)
    return {"correct": letters.count("1"), NAME: packed(found)}


def put_record(runs: Path, cell: Cell, value: float = 1.0, id: str = "", **content: Any) -> Record:
    now = utc_now()
    base: dict[str, Any] = {"unit": METRICS[cell.metric].unit, "status": "done", "profile": "small", "job": "job"}
    base |= {"started": now, "ended": now}
    name = id or "-".join(filter(None, vars(cell).values())).replace(":", "_").replace("=", "").replace(",", "_")
    record = Record(**(base | {"id": name, "cell": vars(cell), "value": value} | content))
    write_record(runs, record)
    return record


def put_job(
    runs: Path, job: Job, tasks: int = 1, executor: str = "", id: str | None = "", name: str = "", **changes: Any
) -> str:
    """What a driver writes before it submits a job and, with `executor`, of one submission of all its tasks that became
    `id`, None where nothing is known of it. Returns the submission's name. `changes` are of what is noted of it."""
    content = {"id": job.id, "kind": job.kind, "tables": ["grid"], "tasks": tasks}
    content |= {"cells": [vars(cell) for cell in job.cells]}
    content |= {"record_ids": [job.record_id(cell) for cell in job.cells]}
    write_json(job_folder(runs, job.id) / "job.json", content)
    return put_attempt(runs, job.id, range(tasks), executor, id, name, **changes) if executor else ""


def put_attempt(
    runs: Path,
    job_id: str,
    tasks: Iterable[int],
    executor: str,
    id: str | None = "",
    name: str = "",
    tries: Mapping[int, Tries] = MappingProxyType({}),
    **changes: Any,
) -> str:
    """Note the next attempt of a job, as `put_job` does."""
    units = tuple((job_id, task) for task in tasks)
    name, time = name or f"made-{uuid.uuid4().hex}", changes.pop("time", utc_now())
    started = {key: changes.pop(key) for key in ("host", "created") if key in changes}
    kind = "sequence" if executor == "local" else "array"
    submission = Submission(name, executor, **({"kind": kind, "units": units, "time": time} | changes))
    write_submission(runs, submission)
    folder = job_folder(runs, job_id)
    number = 1 + (last_attempt(path.name for path in folder.iterdir()) if folder.exists() else 0)
    assert claim(runs, job_id, number, [task for _, task in units], name, time, tries)
    if id is not None:
        write_started(runs, name, Started(id, **started))
    return name


def put_progress(runs: Path, job_id: str, task: int = 0, **content: Any) -> None:
    base = {"state": "running", "done": 1, "total": 4, "host": "elsewhere", "pid": 1, "updated": utc_now()}
    path = job_folder(runs, job_id) / f"progress-{task}.json"
    write_json(path, base | content)
    written = datetime.fromisoformat((base | content)["updated"]).timestamp()
    os.utime(path, (written, written))


def small_profile(folder: Path, **options: Any) -> Profile:
    return load_profile(str(make_profile(folder, **options)))
