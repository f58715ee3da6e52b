"""What submissions have in common wherever they go: their names, word of them before they are sent, the warning before
the end."""

import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.profiles import Launch
from jobs.spec import Job
from results.attempts import Submission, Tries, Unit, claim, last_attempt, write_submission
from results.files import private_folder
from results.progress import job_folder
from results.provenance import utc_now

SIGNAL_S = 180
"""Seconds before its time limit at which a task is told: enough for the step under way and a checkpoint."""


@dataclass(frozen=True)
class Start:
    """A job of which tasks are to be started."""

    job: Job
    tables: Sequence[str]
    tasks: Mapping[int, Tries] = field(default_factory=dict)
    """By task number, the tries that went before."""


def signal_s(launch: Launch) -> int:
    """How long before its end a task is told, in seconds: half of its time at most."""
    return min(SIGNAL_S, launch.time_min * 60 // 2)


def new_submission(executor: str, kind: str, units: Sequence[Unit], launch: Launch, label: str = "") -> Submission:
    """A submission with a name of its own: submitit names its files by ids that come back (process ids do)."""
    time, unique = utc_now(), uuid.uuid4().hex[:8]
    name = f"{time[:19].replace(':', '')}-{unique}"
    slurm_name = f"{label}~{unique}" if label else ""
    return Submission(name, executor, kind, tuple(units), time, slurm_name, launch.time_min, launch.timeouts)


def begin(submission: Submission, tries: Mapping[Unit, Tries], runs: Path) -> Submission | None:
    """Leave word of what is about to be sent. Returns what is left of it to send: without the jobs that another driver
    has started in the meantime; None where nothing is left."""
    by_job: dict[str, list[int]] = {}
    for job_id, task in submission.units:
        by_job.setdefault(job_id, []).append(task)
    mine = set()
    for job_id, tasks in by_job.items():
        names: list[str] = []
        with suppress(OSError):
            names = os.listdir(private_folder(job_folder(runs, job_id)))
        before = {task: tries.get((job_id, task), {}) for task in tasks}
        if claim(runs, job_id, last_attempt(names) + 1, tasks, submission.name, submission.time, before):
            mine.add(job_id)
    left = replace(submission, units=tuple(unit for unit in submission.units if unit[0] in mine))
    if not left.units:
        return None
    write_submission(runs, left)
    return left
