"""One task of a job: where it keeps its files, how it reports, and how it is asked to stop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.node.signals import StopRequest
from jobs.spec.jobs import Job
from jobs.spec.plugins import load_plugins
from jobs.spec.wire import from_dict
from results.files import read_json
from results.progress import job_folder, read_job
from results.progress_writer import ProgressWriter
from results.provenance import collect, utc_now
from results.records import Record, has_record, write_record


class Cancelled(Exception):
    """The user asked for this job to stop."""


class Stopped(Exception):
    """The process was asked to stop by the signal `by`, and has saved what it needs to resume; the text says so."""

    def __init__(self, text: str, by: str) -> None:
        super().__init__(text, by)
        self.by = by

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass
class Task:
    """What a running task knows of itself. `index` is counted from 0, of `count` tasks that share the job."""

    runs: Path
    job_id: str
    index: int
    count: int
    profile: str
    progress: ProgressWriter
    stop: StopRequest = field(default_factory=StopRequest)
    """The signal that this process has received, if any."""
    before: int = 0
    """Steps of the task that lie before the part that reports now."""

    @property
    def folder(self) -> Path:
        """The job's folder, shared by its tasks."""
        return job_folder(self.runs, self.job_id)

    def update(self, done: int, total: int, text: str = "") -> None:
        """Report that `done` of `total` steps are finished, and a line about the state."""
        self.progress.update(self.before + done, self.before + total, text)

    def check_stop(self) -> None:
        """Raise Cancelled where the user asked for this job to stop, Stopped where this process was asked to; for
        places where nothing is half done."""
        if cancel_file(self.runs, self.job_id).exists():
            raise Cancelled("cancelled")
        if by := self.stop.by:
            raise Stopped(f"asked to stop ({by}); run the same command to resume", by)

    def has_records(self, job: Job) -> bool:
        """Whether all records of the job are there, by an earlier attempt say."""
        return all(has_record(self.runs, job.record_id(cell)) for cell in job.cells)

    def write(self, record: Record) -> None:
        """Write a record, once: the first one stays."""
        write_record(self.runs, record)

    def provenance(self) -> dict[str, Any]:
        """Machine, versions, commit and SLURM ids of this task, hosts and restarts of all tasks of the job, and how its
        earlier attempts ended as far as a driver found out."""
        job = read_job(self.runs, self.job_id)
        ended = [(attempt, task, how) for attempt, tasks in job.ended.items() for task, how in tasks.items()]
        return collect() | {
            "restarts": max(task.restarts for task in job.tasks),
            "tasks": [
                {"host": task.host, "node": task.node, "started": task.started, "slurm": task.slurm}
                for task in job.tasks
            ],
            "ended": [{"attempt": attempt, "task": task} | how for attempt, task, how in ended],
        }

    def started(self) -> str:
        """When the first task of this job began, ISO 8601 in UTC."""
        return min((task.started for task in read_job(self.runs, self.job_id).tasks if task.started), default=utc_now())

    def now(self) -> str:
        return utc_now()


def cancel_file(runs: Path, job_id: str) -> Path:
    """The file whose presence asks a job's tasks to stop."""
    return job_folder(runs, job_id) / "cancelled"


def check_planned(job: Job, data: Mapping[str, Any]) -> None:
    """ValueError where the job would answer other records than its file says: a method's code is another one now.

    To be asked before a block is made, so that no value is of two versions of a method.
    """
    planned = data.get("record_ids", [])
    for cell, planned_id in zip(job.cells, planned, strict=False):
        if job.record_id(cell) != planned_id:
            name = cell.reduction.partition(":")[0]
            raise ValueError(f"the code of {name} has changed since this job was planned; run the sweep again")


def load_job(runs: Path, job_id: str) -> tuple[Job, dict[str, Any]]:
    """The job that the driver wrote into its folder, and the whole file; ValueError where it is not one."""
    path = job_folder(runs, job_id) / "job.json"
    try:
        data = read_json(path)
        load_plugins(data.get("plugins", ()))
        return from_dict(data["spec"]), data
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
