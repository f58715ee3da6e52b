"""From jobs to submitit: processes on this machine, or an array on a SLURM cluster.

Only ids and paths are handed over. Everything a task needs to know lies in its job's folder, written before it is
submitted, so that the driver may be killed and started again at any moment.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from harness.machine import Process, gpus, lanes, processes
from harness.plan import Plan
from harness.profiles import Launch, Profile
from harness.queue import queued_tasks
from jobs.spec import Job, to_dict
from results.files import private_folder, write_json
from results.progress import job_folder, read_job
from results.provenance import utc_now

Unit = tuple[str, int]
"""A task to start: job id and task index."""


def submit(plan: Plan, profile: Profile, runs: Path) -> int:
    """Start what is not under way yet; returns how many tasks were started. ValueError where that is refused."""
    shared: list[Unit] = []
    exclusive: list[Unit] = []
    for job in plan.jobs:
        count = plan.tasks[job.id]
        before = read_job(runs, job.id)
        busy = {task.task for task in before.tasks if task.state == "running"} | queued_tasks(before)
        if busy:
            count = len(before.tasks)  # its tasks have shared the work among that many
            _take_back_cancellation(job, runs)
        else:
            _write_job(job, count, plan.tables[job.id], profile, runs)
        (exclusive if job.exclusive else shared).extend((job.id, k) for k in range(count) if k not in busy)
    if profile.launch.executor == "slurm":
        for units, alone in ((shared, False), (exclusive, True)):
            _submit_slurm(units, alone, profile, runs)
    else:
        _submit_here(shared, exclusive, profile.launch, runs)
    return len(shared) + len(exclusive)


def scripts(plan: Plan, profile: Profile, runs: Path) -> list[str]:
    """What would be submitted for a plan: sbatch scripts, or the local command."""
    from submitit.slurm.slurm import _make_sbatch_string

    logs = runs / "logs" / "ID"
    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(logs))}"
    if profile.launch.executor == "local":
        return ["\n".join([*profile.launch.setup, command])] if plan.jobs else []
    found = []
    for alone in (False, True):
        tasks = sum(plan.tasks[job.id] for job in plan.jobs if job.exclusive == alone)
        if tasks:
            # submitit has no public way to show a script without submitting it.
            parameters = _slurm_parameters(profile.launch, alone) | {"map_count": tasks if tasks > 1 else None}
            found.append(_make_sbatch_string(command=command, folder=logs, **parameters))
    return found


def _write_job(job: Job, tasks: int, tables: list[str], profile: Profile, runs: Path) -> None:
    _take_back_cancellation(job, runs)
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
    # Not synced to the disk: what a power cut takes, the next sweep writes again.
    write_json(job_folder(runs, job.id) / "job.json", content, durable=False)


def _take_back_cancellation(job: Job, runs: Path) -> None:
    (private_folder(job_folder(runs, job.id)) / "cancelled").unlink(missing_ok=True)


def _submit_here(shared: Sequence[Unit], exclusive: Sequence[Unit], launch: Launch, runs: Path) -> None:
    """Start processes that share the tasks, on the lanes that no other process for this runs folder is on (of a driver
    that was killed, say); where there is none, one that waits for them all. A timing has the machine to itself: it
    waits for all others, timings run one after the other, and whatever is submitted later waits for them."""
    others = processes(runs)
    timings = [process for process, use in others.items() if use.exclusive]
    taken = {use.lane for use in others.values() if not use.exclusive}
    count = lanes(launch)
    free = [lane for lane in range(count) if lane not in taken][: max(0, count - len(taken))]
    chosen, after = (free, timings) if free else ([0], list(others))
    chosen = chosen[: len(shared)]
    started = [
        _submit_local(shared[number :: len(chosen)], after, lane, launch, runs) for number, lane in enumerate(chosen)
    ]
    if exclusive:
        _submit_local(exclusive, [*others, *started], 0, launch, runs)


def _submit_local(units: Sequence[Unit], after: Sequence[Process], lane: int, launch: Launch, runs: Path) -> Process:
    from submitit import LocalExecutor

    from jobs.run import run_tasks

    logs, time = _log_folder(runs), utc_now()
    executor = LocalExecutor(folder=logs)
    # submitit gives every local job the GPUs 0 … n − 1 unless told which ones.
    gpu: dict[str, Any] = {"gpus_per_node": 1, "visible_gpus": (gpus()[lane],)} if launch.gpus_per_task else {}
    # With a trap, bash keeps the shell whose process id submitit goes by, rather than turn into the last command.
    setup = ["trap : EXIT", *launch.setup] if launch.setup else []
    executor.update_parameters(timeout_min=launch.time_min, setup=setup, **gpu)
    with _output_to(logs / "process.log"):
        job = executor.submit(run_tasks, str(runs), list(units), list(after))
    pid = int(job.job_id)
    created = psutil.Process(pid).create_time()
    entry = {"executor": "local", "host": socket.gethostname(), "id": job.job_id, "created": created, "lane": lane}
    _note(units, [entry | {"time": time, "log": logs.name}] * len(units), runs)
    return pid, created


def _submit_slurm(units: Sequence[Unit], alone: bool, profile: Profile, runs: Path) -> None:
    from submitit import SlurmExecutor

    from jobs.run import run_tasks

    if not units:
        return
    most = _array_limit()
    for start in range(0, len(units), most):
        part, logs, time = units[start : start + most], _log_folder(runs), utc_now()
        with _outside_of_any_job():
            try:
                executor = SlurmExecutor(folder=logs)
                executor.update_parameters(**_slurm_parameters(profile.launch, alone))
                jobs = executor.map_array(run_tasks, [str(runs)] * len(part), [[unit] for unit in part])
            except RuntimeError as error:
                raise ValueError(f"profile {profile.name} cannot submit to SLURM: {error}") from None
        entry = {"executor": "slurm", "time": time, "log": logs.name}
        _note(part, [entry | {"id": job.job_id} for job in jobs], runs)


def _slurm_parameters(launch: Launch, alone: bool) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "job_name": "harness",
        "time": launch.time_min,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": launch.cpus_per_task,
        # Since 22.05 srun no longer takes this over from sbatch.
        "srun_args": [f"--cpus-per-task={launch.cpus_per_task}", "--kill-on-bad-exit=1"],
        "setup": list(launch.setup) or None,
        # submitit's own default is 256.
        "array_parallelism": launch.parallel or sys.maxsize,
    }
    if alone:
        parameters["exclusive"] = True
    if launch.gpus_per_task:
        parameters["gpus_per_node"] = launch.gpus_per_task
    if launch.mem_gb:
        parameters["mem"] = f"{launch.mem_gb}GB"
    for name in ("partition", "account", "qos", "constraint", "exclude"):
        if value := getattr(launch, name):
            parameters[name] = value
    return parameters


def _array_limit() -> int:
    """The most tasks an array may have here; SLURM's default where it does not say."""
    try:
        answer = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        answer = ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer, re.MULTILINE)
    return max(1, int(found[1])) if found else 1001


def _log_folder(runs: Path) -> Path:
    """A folder of its own for each submission: submitit names its files by ids that come back (process ids do)."""
    return private_folder(runs / "logs" / f"{utc_now()[:19].replace(':', '')}-{uuid.uuid4().hex[:8]}")


def _note(units: Sequence[Unit], entries: Sequence[dict[str, Any]], runs: Path) -> None:
    """Leave word of what each task was submitted as, for the next driver and for harness.status."""
    by_job: dict[str, dict[str, Any]] = {}
    for (job_id, index), entry in zip(units, entries, strict=True):
        by_job.setdefault(job_id, {})[str(index)] = entry
    for job_id, tasks in by_job.items():
        before = read_job(runs, job_id).submitted.get("tasks", {})
        write_json(job_folder(runs, job_id) / "submitted.json", {"tasks": before | tasks}, durable=False)


@contextmanager
def _outside_of_any_job() -> Iterator[None]:
    """Hide SLURM's variables: a job submitted from inside another would inherit its limits and CPU binding."""
    of_the_user = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
    names = [name for name in os.environ if name.startswith("SLURM_") and name not in of_the_user]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send what this process and those started meanwhile print to a file. They would keep a pipe open as long as they
    live, and whoever reads it would wait for them."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for number in (1, 2):
            os.dup2(target, number)
        yield
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(target)
