"""From jobs to submitit: which jobs of a plan are started, here or on a cluster.

Only ids and paths are handed over. Everything a task needs to know lies in its job's folder, written before it is
submitted, so that the driver may be killed and started again at any moment.
"""

import os
import re
import shlex
import stat
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from harness.planning.plan import Plan
from harness.profiles import Launch, Profile
from harness.running import local
from harness.running.adoption import LOOK_S, WAITS
from harness.running.gpu_support import check_gpu_code
from harness.running.job_files import check_files
from harness.running.queue import on_its_way, queued_tasks
from harness.running.slurm import cluster
from harness.running.slurm.sbatches import plan_sbatches, script
from harness.running.slurm.site import check_site
from harness.running.submission import Sent, Start
from jobs.spec.jobs import Count, Job, Train
from jobs.spec.wire import to_dict
from results.attempts import Tries, submission_folder
from results.files import private_folder, write_json
from results.progress import JobProgress, job_folder, read_job
from results.provenance import cores
from results.records import record_ids


def submit(plan: Plan, profile: Profile, runs: Path) -> Sent:
    """Start what is not under way yet, as far as there is place for it. ValueError where that is refused, and then
    nothing is noted or started."""
    starts: list[Start] = []
    under_way: set[str] = set()
    for job in plan.jobs:
        before, count = _read_settled(job.id, runs), plan.tasks[job.id]
        busy = {task.task for task in before.tasks if task.state == "running"} | queued_tasks(before)
        if busy:
            under_way.add(job.id)
            # Its tasks have shared the work among that many; a gang is under way or not as a whole.
            count = 0 if isinstance(job, Train) else len(before.tasks)
            busy |= {task.task for task in before.tasks if task.state == "done"}
        tasks: dict[int, Tries] = {task: {} for task in range(count) if task not in busy}
        starts.append(Start(job, plan.tables[job.id], before.attempt, tasks))
    if any(start.tasks for start in starts):
        _check(starts, profile, runs)
    for start in starts:
        _take_back_cancellation(start.job, runs)
        if start.job.id not in under_way:
            _write_job(start.job, plan.tasks[start.job.id], plan.tables[start.job.id], profile, runs)
    return start_tasks(starts, profile, runs)


def start_tasks(starts: Sequence[Start], profile: Profile, runs: Path) -> Sent:
    """Start tasks of jobs whose files are there."""
    here, there = _split([start for start in starts if start.tasks], profile.launch)
    tasks = local.submit(here, _launch_here(profile.launch), runs) if here else 0
    sent = cluster.submit(there, profile, runs) if there else Sent()
    return replace(sent, tasks=sent.tasks + tasks)


def is_here(job: Job, launch: Launch) -> bool:
    """Whether a job's tasks run on the machine that starts them."""
    return launch.executor == "local" or (launch.count_here and isinstance(job, Count))


def scripts(plan: Plan, profile: Profile, runs: Path) -> list[str]:
    """The sbatch scripts of what would be submitted for a plan."""
    _, there = _split(_whole(plan), profile.launch)
    return [script(one, runs) for one in plan_sbatches(there, profile.launch)]


def commands(plan: Plan, profile: Profile, runs: Path) -> list[str]:
    """The commands that would be run here for a plan."""
    here, _ = _split(_whole(plan), profile.launch)
    logs = submission_folder(runs, "ID")
    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(logs))}"
    gangs = [start.job for start in here if isinstance(start.job, Train)]
    processes = dict.fromkeys([1] * (len(gangs) < len(here)) + [job.processes for job in gangs])
    together = [f"  # {count} of them at the same time" if count > 1 else "" for count in processes]
    setup = _launch_here(profile.launch).setup
    return ["\n".join([*setup, command + one]) for one in together]


def _whole(plan: Plan) -> list[Start]:
    """All tasks of a plan, as if none had been started."""
    return [Start(job, plan.tables[job.id], 0, {task: {} for task in range(plan.tasks[job.id])}) for job in plan.jobs]


def _launch_here(launch: Launch) -> Launch:
    """How tasks are started here: as the profile says, or beside a cluster's, one after the other and without GPUs."""
    if launch.executor == "local":
        return launch
    return replace(launch, executor="local", cpus_per_task=cores(), gpus_per_task=0, setup=())


def _split(starts: Sequence[Start], launch: Launch) -> tuple[list[Start], list[Start]]:
    """What is started here, and what on the cluster."""
    here = [start for start in starts if is_here(start.job, launch)]
    return here, [start for start in starts if not is_here(start.job, launch)]


def check_runs(runs: Path) -> None:
    """Make the runs folder, for its owner alone. ValueError where it cannot be written to, where its records cannot be
    listed, or where others may write: what tasks are to do is read from there."""
    if reserved := re.search("%[jtAa]", str(runs)):
        number = f"has {reserved[0]} in its path, which submitit reads as a job's number"
        raise ValueError(f"the runs folder {runs} {number}; choose another with --runs")
    try:
        private_folder(runs)
    except OSError as error:
        raise ValueError(
            f"the runs folder {runs} cannot be made: {error.strerror}; choose another with --runs"
        ) from None
    try:
        record_ids(runs)
    except OSError as error:
        raise ValueError(f"the records in {runs} cannot be listed: {error.strerror}; see --runs") from None
    if not os.access(runs, os.W_OK | os.X_OK):
        raise ValueError(f"the runs folder {runs} is not usable: it cannot be written to; choose another with --runs")
    for folder in (path for path in (runs, runs / "logs", runs / "jobs") if path.is_dir()):
        found = folder.stat()
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid not in (os.geteuid(), 0):
            whose = f"others can write to {folder}, and could make your jobs run their code"
            raise ValueError(f"{whose}: make it yours alone (chown, chmod go-w), or choose another with --runs")


def _read_settled(job_id: str, runs: Path) -> JobProgress:
    """A job, once it is known what its attempts were to submit: a driver may be killed before it notes that."""
    said = False
    while True:
        job = read_job(runs, job_id)
        if not any(entry.submission is None and on_its_way(entry) for entry in job.entries.values()):
            return job
        if not said:
            print(WAITS, flush=True)
            said = True
        time.sleep(LOOK_S)


def _check(starts: Sequence[Start], profile: Profile, runs: Path) -> None:
    """ValueError if a job cannot run as the profile says; notes name what could not be checked."""
    notes: list[str] = []
    starts = [start for start in starts if start.tasks]
    check_files(start.job for start in starts)
    if profile.launch.gpus_per_task and any(start.job.kind != "count" for start in starts):
        notes += filter(None, [check_gpu_code(profile)])
    _, there = _split(starts, profile.launch)
    if there:
        found = check_site(profile, [start.job for start in there if isinstance(start.job, Train)])
        notes += [finding.text for finding in found]
        notes += cluster.check_sbatch(there, profile, runs)
    for note in notes:
        print(note, flush=True)


def _write_job(job: Job, tasks: int, tables: list[str], profile: Profile, runs: Path) -> None:
    content = {
        "id": job.id,
        "kind": job.kind,
        "tables": tables,
        "cells": [asdict(cell) for cell in job.cells],
        "record_ids": [job.record_id(cell) for cell in job.cells],
        "tasks": tasks,
        "profile": profile.name,
        "plugins": profile.plugins.paths,
        "spec": to_dict(job),
    }
    # Not synced to the disk: what a power cut takes, the next sweep writes again.
    write_json(job_folder(runs, job.id) / "job.json", content, durable=False)


def _take_back_cancellation(job: Job, runs: Path) -> None:
    (private_folder(job_folder(runs, job.id)) / "cancelled").unlink(missing_ok=True)
