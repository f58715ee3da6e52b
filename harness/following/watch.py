"""Waiting for jobs: a live display on a terminal, plain lines otherwise. Reads the tasks' own reports, and starts
those that failed again as far as the profile allows."""

import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.following.job_reader import JobReader
from harness.following.logs import with_words
from harness.planning.plan import Plan
from harness.planning.text import plural
from harness.profiles import Profile
from harness.running.adoption import Busy, adopt
from harness.running.launch import start_tasks
from harness.running.overflow import Overflow
from harness.running.queue import fraction, look_up, on_its_way, silence, silent_s, under_way
from harness.running.retries import again, reason, verdicts
from harness.running.submission import Sent, Start
from jobs.spec.cells import code_held
from results.attempts import write_ended
from results.progress import JobProgress
from results.records import has_record, record_ids

LOOK_S = 0.3
COST = 50
"""Pause between two looks, as a multiple of the core time that a look used, or of the time that it took."""
SILENT_S = 1800.0
"""Seconds without an answer from SLURM after which waiting ends."""
SAY_S = 10.0
"""Seconds between plain lines."""
BARS = 12
"""More jobs than this share one bar."""

Show = Callable[[list[JobProgress], int], None]
"""Shows the jobs and how many of them have ended."""


class Watch:
    """The jobs of a plan as they progress. Only what has changed is read again."""

    def __init__(self, plan: Plan, profile: Profile, runs: Path, sent: Sent | None = None) -> None:
        self.plan, self.profile, self.runs = plan, profile, runs
        self.overflow = Overflow(sent or Sent())
        self.open = {job.id: job for job in plan.jobs}
        self.reader = JobReader(runs, keys=("kind",))
        self.seen: dict[str, JobProgress] = {}
        self.judged: set[tuple[str, int, int]] = set()
        self.busy_since = 0.0
        self.unsettled = False
        self.said = ""

    def look(self) -> list[JobProgress]:
        """Every job as it is now; tasks that ended badly have been started again where they may be."""
        if self.unsettled and not self._settled():
            return [self.seen[job.id] for job in self.plan.jobs]
        starts = []
        have = record_ids(self.runs)
        silent = silence(look_up([self._read(job_id) for job_id in self.open]))
        if silent and silent != self.said:
            self.said = silent
            print(silent, flush=True)
        for job_id in list(self.open):
            job = self.seen[job_id]
            if under_way(job) and not verdicts(job, self.profile.launch):
                continue
            if job.state != "done":
                # What was read before SLURM was asked, or its records were listed, may have ended well in between.
                job = self._read(job_id, fresh=True)
            unknown = [entry for entry in job.entries.values() if entry.submission and not entry.started]
            if unknown:
                self.unsettled |= not all(on_its_way(entry) for entry in unknown)
            elif tasks := {} if self._recorded(job_id, have) else self._judge(job):
                starts.append(Start(self.open[job_id], self.plan.tables[job_id], job.attempt, tasks))
            elif not under_way(job) and not self.overflow.tasks(job_id):
                del self.open[job_id]
        starts = _together(starts, self.overflow.due(self.seen, self.profile.launch))
        if starts:
            self._start(starts)
        return [self.seen[job.id] for job in self.plan.jobs]

    def _recorded(self, job_id: str, have: Collection[str]) -> bool:
        """Whether the records of a job are there, now if not when they were listed."""
        ids = [self.open[job_id].record_id(cell) for cell in self.open[job_id].cells]
        return all(one in have or has_record(self.runs, one) for one in ids)

    def _start(self, starts: list[Start]) -> None:
        # One that kills the process in which others wait for their turn must not come before them again.
        starts.sort(key=lambda start: any(task.submission for task in self.seen[start.job.id].tasks))
        try:
            self.overflow.add(starts, start_tasks(starts, self.profile, self.runs))
            self.busy_since = 0.0
        except Busy as error:
            self.unsettled = True
            self._bear(error)
            print(f"{error}; trying again", flush=True)
        for start in starts:
            self._read(start.job.id, fresh=True)

    def _settled(self) -> bool:
        """Whether it is known by now if a busy SLURM has taken what was submitted."""
        try:
            adopt(self.runs)
        except Busy as error:
            self._bear(error)
            return False
        self.unsettled = False
        for job_id in self.open:
            self._read(job_id, fresh=True)
        return True

    def _bear(self, error: Busy) -> None:
        """Go on for a while although SLURM is busy."""
        self.busy_since = self.busy_since or time.monotonic()
        if time.monotonic() - self.busy_since > SILENT_S:
            raise error

    def _read(self, job_id: str, fresh: bool = False) -> JobProgress:
        self.seen[job_id] = self.reader.read(job_id, fresh)
        return self.seen[job_id]

    def _judge(self, job: JobProgress) -> dict[int, dict[str, int]]:
        """The tasks of a job that ended badly and are to be started again; why they ended is noted and said. Where none
        may be, those that wait for a place need none."""
        waiting = self.overflow.tasks(job.id)
        found = {
            number: with_words(verdict, job.entries[number], self.runs) if number in job.entries else verdict
            for number, verdict in verdicts(job, self.profile.launch).items()
            if number not in waiting
        }
        if not found:
            return {}
        tasks = again(job, found, self.profile.launch)
        if not tasks:
            self.overflow.drop(job.id, waiting)
        for number, verdict in found.items():
            attempt = job.entries[number].attempt if number in job.entries else 0
            if attempt and (job.id, attempt, number) not in self.judged:
                self.judged.add((job.id, attempt, number))
                write_ended(self.runs, job.id, attempt, number, verdict.noted())
        if tasks:
            what = f"{len(tasks)} of {len(job.tasks)} tasks of job {job.id}" if len(job.tasks) > 1 else f"job {job.id}"
            names = ", ".join(self.plan.tables[job.id])
            before = [entry.tries for entry in job.entries.values()]
            print(f"{what} ({names}) started again: {reason(found, before)}", flush=True)
        return tasks


def _together(again: Sequence[Start], waiting: Sequence[Start]) -> list[Start]:
    """What is started again and what has waited, each job once."""
    found = {start.job.id: start for start in again}
    for start in waiting:
        more = found.get(start.job.id)
        found[start.job.id] = replace(start, tasks={**start.tasks, **more.tasks}) if more else start
    return list(found.values())


@code_held()  # the records that are waited for are those that were planned
def wait(plan: Plan, profile: Profile, runs: Path, sent: Sent | None = None) -> None:
    """Return when no task of the plan's jobs is running or may still start; `sent` says which have started so far."""
    if not plan.jobs:
        return
    watch = Watch(plan, profile, runs, sent)
    try:
        _follow(watch, plan)
    except KeyboardInterrupt:
        if watch.overflow.text:
            print(f"{watch.overflow.text}; run the same command again to submit more", file=sys.stderr)
        raise


def _follow(watch: Watch, plan: Plan) -> None:
    """Look again and again, and show what is seen, until all has ended."""
    with _bars(plan) if sys.stdout.isatty() else _lines() as show:
        while True:
            began, busy = time.monotonic(), time.process_time()
            jobs = watch.look()
            show(jobs, len(jobs) - len(watch.open))
            del jobs  # or those of two looks would be in memory at a time
            if not watch.open:
                return
            if silent_s() > SILENT_S:
                minutes = f"{silent_s() / 60:.0f} min"
                raise ValueError(
                    f"SLURM has not answered for {minutes}; its jobs may still be running: run the command again later"
                )
            time.sleep(max(LOOK_S, COST * (time.process_time() - busy), time.monotonic() - began))


@contextmanager
def _lines() -> Iterator[Show]:
    began, said, line = time.monotonic(), 0.0, ""

    def show(jobs: list[JobProgress], ended: int) -> None:
        nonlocal said, line
        before, now = line, time.monotonic() - began
        steps, total = sum(job.done for job in jobs), sum(job.total for job in jobs)
        line = f"{ended} of {plural(len(jobs), 'job')} ended, {steps} of {plural(total, 'step')}"
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
