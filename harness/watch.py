"""Waiting for jobs: a live display on a terminal, plain lines otherwise. Reads the tasks' own reports."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.plan import Plan
from harness.queue import queued_tasks
from results.progress import JobProgress, read_job

LOOK_S = 0.3
SAY_S = 10.0
"""Seconds between plain lines."""

Show = Callable[[list[JobProgress]], None]


def wait(plan: Plan, runs: Path) -> None:
    """Return when no task of the plan's jobs is running or may still start."""
    if not plan.jobs:
        return
    with _bars(plan) if sys.stdout.isatty() else _lines() as show:
        while True:
            jobs = [read_job(runs, job.id) for job in plan.jobs]
            show(jobs)
            if not any(is_under_way(job, runs) for job in jobs):
                return
            time.sleep(LOOK_S)


def is_under_way(job: JobProgress, runs: Path) -> bool:
    """Whether some task of the job is running or may still start."""
    return any(task.state == "running" for task in job.tasks) or bool(queued_tasks(job, runs))


@contextmanager
def _lines() -> Iterator[Show]:
    began, said, line = time.monotonic(), 0.0, ""

    def show(jobs: list[JobProgress]) -> None:
        nonlocal said, line
        before, now = line, time.monotonic() - began
        ended = sum(job.state in ("done", "failed", "lost") for job in jobs)
        steps, total = sum(job.done for job in jobs), sum(job.total for job in jobs)
        line = f"{ended} of {len(jobs)} jobs ended, {steps} of {total} steps"
        if line != before and (now - said > SAY_S or ended == len(jobs)):
            said = now
            print(f"[{now:4.0f} s] {line}", flush=True)

    yield show


@contextmanager
def _bars(plan: Plan) -> Iterator[Show]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns) as progress:
        bars = {
            job.id: progress.add_task(f"{job.kind} {', '.join(plan.tables[job.id])}", total=None) for job in plan.jobs
        }

        def show(jobs: list[JobProgress]) -> None:
            for job in jobs:
                progress.update(bars[job.id], completed=job.done, total=job.total or None)

        yield show
