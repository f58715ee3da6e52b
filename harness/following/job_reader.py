"""The jobs of a runs folder, looked at again and again: only what may have changed is read."""

import socket
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from results.progress import JobProgress, job_folder, job_ids, read_job

STALE_S = 15.0
"""Seconds after which a job whose folder has not changed is read again: a task on another host may have died."""


class JobReader:
    """Reads jobs, and keeps what it has read until the job's folder changes; of job.json the `keys` alone, where they
    are given."""

    def __init__(self, runs: Path, keys: Collection[str] = ()) -> None:
        self.runs, self.keys = runs, keys
        self._kept: dict[str, tuple[int, float, JobProgress]] = {}

    def read(self, job_id: str, fresh: bool = False) -> JobProgress:
        """One job as it is now; `fresh`: read even if its folder has not changed."""
        try:
            changed = job_folder(self.runs, job_id).stat().st_mtime_ns
        except OSError:
            changed = 0
        kept, now = self._kept.get(job_id), time.monotonic()
        if fresh or not kept or kept[0] != changed or now - kept[1] > STALE_S or _may_change(kept[2]):
            job = read_job(self.runs, job_id)
            if self.keys:
                job = replace(job, job={key: value for key, value in job.job.items() if key in self.keys})
            kept = self._kept[job_id] = changed, now, job
        return kept[2]

    def read_all(self) -> list[JobProgress]:
        """Every job of the runs folder, ordered by id."""
        return [self.read(job_id) for job_id in job_ids(self.runs)]


def _may_change(job: JobProgress) -> bool:
    """Whether the job may be another than it was though its folder is the same: a process of this host that was killed,
    a submission of which word has come."""
    here = socket.gethostname()
    running = any(task.state == "running" and task.host == here for task in job.tasks)
    return running or any(entry.started is None for entry in job.entries.values())
