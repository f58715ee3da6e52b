"""Waiting for jobs: a live display on a terminal, plain lines otherwise. Reads the tasks' own reports."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.plan import Plan
from harness.queue import fraction, state_of
from results.progress import JobProgress, read_job

LOOK_S = 0.3
SAY_S = 10.0
"""Seconds between plain lines."""
BARS = 12
"""More jobs than this share one bar."""

Show = Callable[[list[JobProgress], int], None]
"""Shows the jobs, of which so many have ended."""


def wait(plan: Plan, runs: Path) -> None:
    """Return when no task of the plan's jobs is running or may still start."""
    if not plan.jobs:
        return
    with _bars(plan) if sys.stdout.isatty() else _lines() as show:
        while True:
            began = time.monotonic()
            jobs = [read_job(runs, job.id) for job in plan.jobs]
            ended = sum(not is_under_way(job) for job in jobs)
            show(jobs, ended)
            if ended == len(jobs):
                return
            # Looking at many jobs takes a while; it must not take a core from them.
            time.sleep(max(LOOK_S, 10 * (time.monotonic() - began)))


def is_under_way(job: JobProgress) -> bool:
    """Whether some task of the job is running or may still start."""
    return state_of(job) in ("running", "queued")


@contextmanager
def _lines() -> Iterator[Show]:
    began, said, line = time.monotonic(), 0.0, ""

    def show(jobs: list[JobProgress], ended: int) -> None:
        nonlocal said, line
        before, now = line, time.monotonic() - began
        steps, total = sum(job.done for job in jobs), sum(job.total for job in jobs)
        line = f"{ended} of {len(jobs)} jobs ended, {steps} of {total} steps"
        line += "".join(f"; {text}" for text in dict.fromkeys(job.text for job in jobs) if text)
        if line != before and (now - said > SAY_S or ended == len(jobs)):
            said = now
            print(f"[{now:4.0f} s] {line}", flush=True)

    yield show


@contextmanager
def _bars(plan: Plan) -> Iterator[Show]:
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, TextColumn("{task.fields[text]}")) as progress:
        if len(plan.jobs) > BARS:
            names = [f"{len(plan.jobs)} jobs"]
        else:
            names = [f"{job.kind} {', '.join(plan.tables[job.id])}" for job in plan.jobs]
        bars = [progress.add_task(name, total=None, text="") for name in names]

        def show(jobs: list[JobProgress], ended: int) -> None:
            fractions = [fraction(job) for job in jobs]
            if len(bars) < len(jobs):
                fractions = [sum(one or 0.0 for one in fractions) / len(jobs)]
            texts = [job.text for job in jobs] if len(bars) == len(jobs) else [""]
            for bar, done, text in zip(bars, fractions, texts, strict=True):
                progress.update(bar, completed=done or 0.0, total=None if done is None else 1.0, text=text)

        yield show
