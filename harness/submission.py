"""What submissions have in common wherever they go: a log folder, word of each task, the warning before the end."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.profiles import Launch
from jobs.spec import Train
from results.files import private_folder, write_json
from results.progress import job_folder, read_job
from results.provenance import utc_now

Unit = tuple[str, int]
"""A task to start: job id and task index."""
SIGNAL_S = 180
"""Seconds before its time limit at which a gang is told: enough for the step under way and a checkpoint."""


def signal_s(launch: Launch) -> int:
    """How long before its end a gang is told, in seconds: half of its time at most."""
    return min(SIGNAL_S, launch.time_min * 60 // 2)


def log_folder(runs: Path) -> Path:
    """A folder of its own for each submission: submitit names its files by ids that come back (process ids do)."""
    return private_folder(runs / "logs" / f"{utc_now()[:19].replace(':', '')}-{uuid.uuid4().hex[:8]}")


def note(units: Sequence[Unit], entries: Sequence[dict[str, Any]], runs: Path) -> None:
    """Leave word of what each task was submitted as, for the next driver and for harness.status."""
    by_job: dict[str, dict[str, Any]] = {}
    for (job_id, index), entry in zip(units, entries, strict=True):
        by_job.setdefault(job_id, {})[str(index)] = entry
    for job_id, tasks in by_job.items():
        before = read_job(runs, job_id).submitted.get("tasks", {})
        write_json(job_folder(runs, job_id) / "submitted.json", {"tasks": before | tasks}, durable=False)


def note_gang(job: Train, entry: dict[str, Any], runs: Path) -> None:
    """The same of every process of a gang; its rank names its logs."""
    ranks = range(job.processes)
    note([(job.id, rank) for rank in ranks], [entry | {"rank": rank} for rank in ranks], runs)
