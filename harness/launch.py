"""From jobs to submitit: what of a plan is to be started, here or on a cluster.

Only ids and paths are handed over. Everything a task needs to know lies in its job's folder, written before it is
submitted, so that the driver may be killed and started again at any moment.
"""

import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from harness import cluster, local
from harness.gpu_code import check_gpu_code
from harness.plan import Plan
from harness.profiles import Profile
from harness.queue import queued_tasks
from jobs.spec import Job, Train, to_dict
from results.files import private_folder, write_json
from results.progress import job_folder, read_job


def submit(plan: Plan, profile: Profile, runs: Path) -> int:
    """Start what is not under way yet; returns how many tasks were started. ValueError where that is refused."""
    starts: list[tuple[Job, list[int]]] = []
    under_way: set[str] = set()
    for job in plan.jobs:
        before, count = read_job(runs, job.id), plan.tasks[job.id]
        busy = {task.task for task in before.tasks if task.state == "running"} | queued_tasks(before)
        if busy:
            under_way.add(job.id)
            # Its tasks have shared the work among that many; a gang is under way or not as a whole.
            count = 0 if isinstance(job, Train) else len(before.tasks)
        starts.append((job, [task for task in range(count) if task not in busy]))
    if profile.launch.gpus_per_task and any(tasks and job.kind != "count" for job, tasks in starts):
        check_gpu_code(profile)
    for job, _ in starts:
        _take_back_cancellation(job, runs)
        if job.id not in under_way:
            _write_job(job, plan.tasks[job.id], plan.tables[job.id], profile, runs)
    gangs = [job for job, tasks in starts if isinstance(job, Train) and tasks]
    units = [(job, task) for job, tasks in starts if not isinstance(job, Train) for task in tasks]
    shared = [(job.id, task) for job, task in units if not job.exclusive]
    exclusive = [(job.id, task) for job, task in units if job.exclusive]
    if profile.launch.executor == "slurm":
        cluster.submit(shared, exclusive, gangs, profile, runs)
    else:
        local.submit(shared, exclusive, gangs, profile.launch, runs)
    return sum(len(tasks) for _, tasks in starts)


def scripts(plan: Plan, profile: Profile, runs: Path) -> list[str]:
    """What would be submitted for a plan: sbatch scripts, or the local commands."""
    logs = runs / "logs" / "ID"
    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(logs))}"
    gangs = [job for job in plan.jobs if isinstance(job, Train)]
    others = [job for job in plan.jobs if not isinstance(job, Train)]
    if profile.launch.executor == "local":
        processes = dict.fromkeys([1] * bool(others) + [job.processes for job in gangs])
        together = [f"  # {count} of them at the same time" if count > 1 else "" for count in processes]
        return ["\n".join([*profile.launch.setup, command + one]) for one in together]
    tasks = [sum(plan.tasks[job.id] for job in others if job.exclusive == alone) for alone in (False, True)]
    return cluster.scripts(tasks[0], tasks[1], gangs, profile.launch, command, logs)


def _write_job(job: Job, tasks: int, tables: list[str], profile: Profile, runs: Path) -> None:
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
