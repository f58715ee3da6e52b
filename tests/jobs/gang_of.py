"""A small training job, and its processes started the way a launcher would."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from jobs.spec.cells import Cell
from jobs.spec.jobs import Train
from jobs.spec.recipe import Recipe
from jobs.spec.sources import NO_WEIGHTS
from jobs.spec.wire import to_dict
from results.files import write_json
from results.progress import job_folder
from tests.jobs.small_set import make_dataset, make_job
from tests.jobs.submitted import submit

RECIPE = Recipe(
    epochs=1,
    batch=4,
    base_lr=0.1,
    warmup_epochs=0.5,
    drop_path=0.1,
    repeats=1,
    randaugment="",
    mixup=0.0,
    cutmix=0.0,
    short_side=56,
    head_scale=1.0,
    precision="fp32",
)
CELLS = tuple(
    Cell("vit_demo", "sta:r=12", "set", "1x1" if metric == "top1_trained" else "", metric)
    for metric in ("top1_trained", "train_hours", "train_hours_projected", "train_step_s")
)


def make_training(labels: Path, recipe: dict[str, Any] | None = None, **settings: Any) -> Train:
    """A training of the demo model with STA on the set of `labels`, by `recipe` where it differs from RECIPE."""
    values: dict[str, Any] = {
        "model": "vit_demo",
        "reduction": "sta:r=12",
        "start": None,
        "new": ("fc_norm", "head"),
        "unused": (),
        "dataset": make_dataset(labels),
        "recipe": replace(RECIPE, **(recipe or {})),
        "nodes": 1,
        "tasks_per_node": 1,
        "gpus": 0,
        "micro_batch": 4,
        "zero_stage": 0,
        "activation_checkpointing": False,
        "compile": False,
        "measure_steps": 0,
        "decoders": 1,
        "decode_timeout_s": 30.0,
        "tolerance": 0.5,
        "threads": 1,
        "evaluate": replace(make_job(labels, labels, ()), checkpoint=NO_WEIGHTS),
    }
    return Train(cells=CELLS, **(values | settings))


os.environ["DS_ACCELERATOR"] = "cpu"  # read when DeepSpeed is imported
_FORKED = multiprocessing.get_context("forkserver")
# Imported once, as they take longer than a training of these tests; every process is still a fresh one.
_FORKED.set_forkserver_preload(["jobs.work.train", "deepspeed", "torch.utils.tensorboard"])


def write_job(runs: Path, job: Train) -> None:
    """Leave the job in its folder, as the launcher does."""
    content = {"id": job.id, "kind": job.kind, "tasks": job.processes, "profile": "test", "spec": to_dict(job)}
    content |= {"cells": [asdict(cell) for cell in job.cells], "record_ids": [job.record_id(c) for c in job.cells]}
    write_json(job_folder(runs, job.id) / "job.json", content)


def start(
    runs: Path, job: Train, before: Callable[[], None] | None = None, name: str = "", **submission: Any
) -> list[ForkServerProcess]:
    """The processes of `job`, started as submission `name`, or as one with such settings; each first calls `before`,
    and writes what it says to <runs>/said-<rank>."""
    write_job(runs, job)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    name = name or submit(runs, [(job.id, rank) for rank in range(job.processes)], "gang", **submission)
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(job.processes)}
    meeting["SUBMITIT_LOCAL_JOB_ID"] = str(os.getpid())  # this process is what submitit's controller would be
    processes = []
    for rank in range(job.processes):
        environment = meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        process = _FORKED.Process(target=_be, args=(runs, name, rank, environment, before))
        process.start()
        processes.append(process)
    return processes


def _be(runs: Path, name: str, rank: int, environment: dict[str, str], before: Callable[[], None] | None) -> None:
    os.environ.update(environment)
    file = os.open(runs / f"said-{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    if before:
        before()
    from jobs.run import run_submission

    run_submission(str(runs), name)


def run(runs: Path, job: Train, before: Callable[[], None] | None = None) -> str:
    """Run `job` to its end in all its processes; what they said."""
    for process in start(runs, job, before):
        process.join(240)
        assert process.exitcode is not None, "it does not end"
    return "".join((runs / f"said-{rank}").read_text() for rank in range(job.processes))
