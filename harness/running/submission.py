"""What submissions have in common wherever they run: their names, the note of them before they are sent, the warning
before the end."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.profiles import Launch
from jobs.spec.jobs import Job
from results.attempts import Submission, Tries, Unit, claim, write_submission
from results.provenance import utc_now

SIGNAL_S = 180
"""Seconds before its time limit at which a task is signalled: enough for the step under way and a checkpoint."""


@dataclass
class Start:
    """A job of which tasks are to be started."""

    job: Job
    tables: Sequence[str]
    attempt: int
    """The last attempt that is known of: where there is a later one, another driver was first."""
    tasks: Mapping[int, Tries] = field(default_factory=dict)
    """By task number, the tries that went before."""


@dataclass
class Sent:
    """Which tasks were started, and which wait."""

    tasks: int = 0
    """How many were."""
    waiting: list[Start] = field(default_factory=list)
    """Those that a limit on submitted jobs leaves no place for yet."""
    why: str = ""
    """What SLURM says of that limit."""


def signal_s(launch: Launch) -> int:
    """How long before its end a task is signalled, in seconds: half of its time at most."""
    return min(SIGNAL_S, launch.time_min * 60 // 2)


def new_submission(executor: str, kind: str, units: Sequence[Unit], launch: Launch, label: str = "") -> Submission:
    """A submission with a unique name: submitit names its files by ids that are reused, as process ids are."""
    time, unique = utc_now(), uuid.uuid4().hex[:8]
    name = f"{time[:19].replace(':', '')}-{unique}"
    slurm_name = f"{label}~{unique}" if label else ""
    return Submission(name, executor, kind, tuple(units), time, slurm_name, launch.time_min, launch.timeouts)


def begin(submission: Submission, starts: Mapping[str, Start], runs: Path) -> Submission | None:
    """Note what is about to be submitted, of `starts` by job id. Returns what is left of it to submit: without the
    jobs that another driver has started in the meantime; None where nothing is left."""
    by_job: dict[str, list[int]] = {}
    for job_id, task in submission.units:
        by_job.setdefault(job_id, []).append(task)
    mine = set()
    for job_id, tasks in by_job.items():
        start = starts[job_id]
        if claim(runs, job_id, start.attempt + 1, tasks, submission.name, submission.time, start.tasks):
            start.attempt += 1
            mine.add(job_id)
    left = replace(submission, units=tuple(unit for unit in submission.units if unit[0] in mine))
    if not left.units:
        return None
    write_submission(runs, left)
    return left
