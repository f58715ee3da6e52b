"""From jobs to submitit: processes on this machine, or an array on a SLURM cluster.

Only ids and paths are handed over. Everything a task needs to know lies in its job's folder, written before it is
submitted, so that the driver may be killed and started again at any moment.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from harness.plan import Plan
from harness.profiles import Launch, Profile
from harness.queue import queued_tasks
from jobs.spec import Job, to_dict
from results.files import private_folder, write_json
from results.progress import job_folder, read_job
from results.provenance import utc_now

Unit = tuple[str, int]
"""A task to start: job id and task index."""
Process = tuple[int, float]
"""A process: its id and its creation time, as ids are used again."""


def submit(plan: Plan, profile: Profile, runs: Path, parallel: int) -> int:
    """Start what is not under way yet, at most `parallel` local processes at a time; returns how many tasks started."""
    shared: list[Unit] = []
    exclusive: list[Unit] = []
    for job in plan.jobs:
        count = plan.tasks[job.id]
        before = read_job(runs, job.id)
        busy = {task.task for task in before.tasks if task.state == "running"} | queued_tasks(before, runs)
        if busy:
            count = len(before.tasks)  # its tasks have shared the work among that many
        _write_job(job, count, plan.tables[job.id], profile, runs)
        (exclusive if job.exclusive else shared).extend((job.id, k) for k in range(count) if k not in busy)
    if profile.launch.executor == "slurm":
        _submit_slurm(shared + exclusive, profile, runs)
    else:
        others = _running(plan, runs)
        lanes = [shared[lane::parallel] for lane in range(min(parallel, len(shared)))]
        others += [_submit_local(lane, [], number, profile.launch, runs) for number, lane in enumerate(lanes)]
        # A timing has the machine to itself: it waits for all others, and timings run one after the other.
        if exclusive:
            _submit_local(exclusive, others, 0, profile.launch, runs)
    return len(shared) + len(exclusive)


def script(job: Job, tasks: int, profile: Profile, runs: Path) -> str:
    """What would be submitted for a job: the sbatch script, or the local command."""
    from submitit.slurm.slurm import _make_sbatch_string

    logs = runs / "logs"
    command = f"python -u -m submitit.core._submit {logs}"
    if profile.launch.executor == "local":
        return "\n".join([*profile.launch.setup, command])
    parameters = _slurm_parameters(profile.launch)
    # submitit has no public way to show a script without submitting it.
    return _make_sbatch_string(command=command, folder=logs, map_count=tasks if tasks > 1 else None, **parameters)


def _write_job(job: Job, tasks: int, tables: list[str], profile: Profile, runs: Path) -> None:
    folder = private_folder(job_folder(runs, job.id))
    (folder / "cancelled").unlink(missing_ok=True)
    content = {
        "id": job.id,
        "kind": job.kind,
        "tables": tables,
        "cells": [asdict(cell) for cell in job.cells],
        "record_ids": [job.record_id(cell) for cell in job.cells],
        "tasks": tasks,
        "profile": profile.name,
        "spec": to_dict(job),
    }
    write_json(folder / "job.json", content)


def _running(plan: Plan, runs: Path) -> list[Process]:
    tasks = [task for job in plan.jobs for task in read_job(runs, job.id).tasks]
    return [(task.pid, task.pid_created) for task in tasks if task.state == "running"]


def _submit_local(units: Sequence[Unit], after: Sequence[Process], lane: int, launch: Launch, runs: Path) -> Process:
    from submitit import LocalExecutor

    from jobs.run import run_tasks

    executor = LocalExecutor(folder=private_folder(runs / "logs"))
    # submitit gives every local job the GPUs 0 … n − 1 unless told which ones.
    gpus: dict[str, Any] = {"gpus_per_node": 1, "visible_gpus": (lane,)} if launch.gpus_per_task else {}
    executor.update_parameters(timeout_min=launch.time_min, setup=list(launch.setup), **gpus)
    job = executor.submit(run_tasks, str(runs), list(units), list(after))
    pid = int(job.job_id)
    created = psutil.Process(pid).create_time()
    _note(units, [{"id": job.job_id, "created": created}] * len(units), "local", runs)
    return pid, created


def _submit_slurm(units: Sequence[Unit], profile: Profile, runs: Path) -> None:
    from submitit import SlurmExecutor

    from jobs.run import run_tasks

    if not units:
        return
    with _outside_of_any_job():
        try:
            executor = SlurmExecutor(folder=private_folder(runs / "logs"))
        except RuntimeError as error:
            raise ValueError(f"profile {profile.name} needs SLURM on this machine: {error}") from None
        executor.update_parameters(**_slurm_parameters(profile.launch))
        jobs = executor.map_array(run_tasks, [str(runs)] * len(units), [[unit] for unit in units])
    _note(units, [{"id": job.job_id} for job in jobs], "slurm", runs)


def _slurm_parameters(launch: Launch) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "job_name": "harness",
        "time": launch.time_min,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": launch.cpus_per_task,
        # Since 22.05 srun no longer takes this over from sbatch.
        "srun_args": [f"--cpus-per-task={launch.cpus_per_task}", "--kill-on-bad-exit=1"],
        "setup": list(launch.setup) or None,
    }
    if launch.gpus_per_task:
        parameters["gpus_per_node"] = launch.gpus_per_task
    if launch.mem_gb:
        parameters["mem"] = f"{launch.mem_gb}GB"
    if launch.parallel:
        parameters["array_parallelism"] = launch.parallel
    for name in ("partition", "account", "qos", "constraint", "exclude"):
        if value := getattr(launch, name):
            parameters[name] = value
    return parameters


def _note(units: Sequence[Unit], submitted: Sequence[dict[str, Any]], executor: str, runs: Path) -> None:
    """Leave word of what each task was submitted as, for the next driver and for harness.status."""
    for job_id in dict.fromkeys(job_id for job_id, _ in units):
        path = job_folder(runs, job_id) / "submitted.json"
        tasks = dict(read_job(runs, job_id).submitted.get("tasks", {}))
        for (other, index), one in zip(units, submitted, strict=True):
            if other == job_id:
                tasks[str(index)] = one | {"time": utc_now()}
        write_json(path, {"executor": executor, "host": socket.gethostname(), "tasks": tasks})


@contextmanager
def _outside_of_any_job() -> Iterator[None]:
    """Hide SLURM's variables: a job submitted from inside another would inherit its limits and CPU binding."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("SLURM_")}
    try:
        yield
    finally:
        os.environ.update(hidden)
