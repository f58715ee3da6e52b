"""How far each job is: read from a small file per task, whose process is judged alive or lost."""

import contextlib
import os
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from results.attempts import Entry, last_attempt, read_ended, read_entries
from results.files import read_json, shared

STALE_S = 120.0
"""A task on another host that has not written for this long is considered dead."""

PEER_LOST = "another process of this training has ended"
"""The error of a process of a gang that fails because others have ended."""

_MAX_TASKS = 100_000


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """One task of a job. A stopped task was asked to stop and has saved what it needs to resume; a lost one ran, then
    died silently."""

    task: int
    state: str = "pending"
    """pending, running, done, failed, cancelled, stopped or lost."""
    done: int = 0
    total: int = 0
    text: str = ""
    """What the task says of itself beside its steps: a training's loss, rate and time left."""
    error: str = ""
    retry: bool = False
    """Whether another try may do better than this one, which failed."""
    submission: str = ""
    """The name of the submission that it runs, or ran, in."""
    host: str = ""
    node: str = ""
    """SLURM's name of the host; that of the host outside SLURM."""
    pid: int = 0
    pid_created: float = 0.0
    """When that process was created, in seconds since 1970: ids are used again."""
    started: str = ""
    updated: str = ""
    restarts: int = 0
    timeouts: int = 0
    """How often it has started itself again after its time limit."""
    slurm: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """A job's folder as found."""

    id: str
    state: str
    """failed, cancelled, running, lost, stopped, done, submitted or pending: the first of these that holds."""
    job: dict[str, Any]
    """The content of job.json, {} without one."""
    entries: dict[int, Entry]
    """The last submission of each task that was ever submitted."""
    tasks: Sequence[TaskProgress]
    ended: dict[int, dict[int, dict[str, str]]] = field(default_factory=dict)
    """By attempt and task, why it ended without what was wanted of it, as far as a driver found out."""
    cancelled: bool = False
    """Whether the user has asked for it to stop."""
    attempt: int = 0
    """The number of its last attempt; 0 before the first."""

    @property
    def done(self) -> int:
        return sum(task.done for task in self._sharing)

    @property
    def total(self) -> int:
        """Steps known of so far; a task that has not begun counts nothing."""
        return sum(task.total for task in self._sharing)

    @property
    def _sharing(self) -> Sequence[TaskProgress]:
        """The tasks that count; those of a training all take the same steps."""
        return self.tasks[:1] if self.job.get("kind") == "train" else self.tasks

    @property
    def text(self) -> str:
        """What the first running task that says something says, else empty."""
        return next((task.text for task in self.tasks if task.state == "running" and task.text), "")

    @property
    def last_ended(self) -> dict[int, dict[str, str]]:
        """Of `ended`, what there is of the last attempt, by task."""
        return self.ended.get(max((entry.attempt for entry in self.entries.values()), default=0), {})

    @property
    def error(self) -> str:
        """Why the last attempt ended: as a driver found out, else the message of the task that failed first, and for
        another reason than that others of its gang had; else empty."""
        if found := self.last_ended:
            return next(iter(found.values())).get("text", "")
        failed = [task for task in self.tasks if task.error]
        return min(failed, key=lambda task: (PEER_LOST in task.error, task.updated)).error if failed else ""


def job_folder(runs: Path, job_id: str) -> Path:
    """Return where a job keeps job.json, its attempts and its tasks' progress files."""
    return Path(runs) / "jobs" / job_id


def job_ids(runs: Path) -> list[str]:
    """Return the ids of the jobs in `runs`, in order."""
    try:
        return sorted(entry.name for entry in os.scandir(Path(runs) / "jobs") if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_progress(runs: Path) -> list[JobProgress]:
    """Return every job in `runs`, ordered by id. Files that are missing or damaged count as not there."""
    return [read_job(runs, job_id) for job_id in job_ids(runs)]


def read_job(runs: Path, job_id: str) -> JobProgress:
    """Return one job; a pending one where nothing of it is there."""
    return _read_job(job_folder(runs, job_id))


def lives(pid: int, created: float) -> bool:
    """Return whether the process `pid` that was created at `created` still runs on this host."""
    try:
        process = psutil.Process(pid)
        # Creation times are counted from a boot time that moves with the clock: allow a few seconds.
        same = abs(process.create_time() - created) < 5.0
        # A killed child stays a zombie until its parent asks.
        return same and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except (psutil.Error, ValueError, OverflowError):
        return False


def _read_job(folder: Path) -> JobProgress:
    names: list[str] = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        names = os.listdir(folder)
    job, runs = read_task_file(folder / "job.json"), folder.parents[1]
    if isinstance(spec := job.get("spec"), dict) and spec.get("cells") == job.get("cells"):
        spec["cells"] = job.get("cells")  # its file says them twice, memory need not
    reported = {int(found[1]) for name in names if (found := _PROGRESS_FILE.fullmatch(name))}
    count = job.get("tasks")
    if type(count) is not int or not 1 <= count <= _MAX_TASKS:
        count = max(reported, default=0) + 1
    tasks = [_read_task(folder, task) if task in reported else TaskProgress(task) for task in range(count)]
    entries = read_entries(runs, folder, names)
    state = _fold({task.state for task in tasks}, bool(entries))
    ended, cancelled = read_ended(folder, names), "cancelled" in names
    return JobProgress(folder.name, state, job, entries, tasks, ended, cancelled, last_attempt(names))


_PROGRESS_FILE = re.compile(r"progress-(\d{1,5})\.json")


def _fold(states: set[str], submitted: bool) -> str:
    for state in ("failed", "cancelled", "running", "lost", "stopped"):
        if state in states:
            return state
    if states == {"done"}:
        return "done"
    return "submitted" if submitted else "pending"


def _read_task(folder: Path, task: int) -> TaskProgress:
    content = read_task_file(folder / f"progress-{task}.json")
    state = content.get("state")
    if state not in ("running", "done", "failed", "cancelled", "stopped"):
        return TaskProgress(task)
    if state == "running" and not _alive(content, folder / f"progress-{task}.json"):
        state = "lost"
    found: dict[str, Any] = {name: whole(content, name) for name in ("done", "total", "pid", "restarts", "timeouts")}
    texts = ("text", "error", "host", "node", "submission", "started", "updated")
    found |= {name: str(content.get(name) or "") for name in texts}
    found["retry"] = content.get("retry") is True
    found["pid_created"] = _created(content)
    slurm = content.get("slurm")
    return TaskProgress(task, state, slurm=slurm if isinstance(slurm, dict) else {}, **found)


def _alive(content: dict[str, Any], path: Path) -> bool:
    if content.get("host") == socket.gethostname():
        return lives(whole(content, "pid"), _created(content))
    try:
        # By the file system's clock, as that of the task's node may be off.
        return abs(time.time() - path.stat().st_mtime) < STALE_S
    except OSError:
        return False


def read_task_file(path: Path) -> dict[str, Any]:
    """A task's progress file; empty where there is none, or it is damaged."""
    try:
        content: dict[str, Any] = shared(read_json(path))
        return content
    except (FileNotFoundError, ValueError, RecursionError):
        return {}


def _created(content: dict[str, Any]) -> float:
    value = content.get("pid_created")
    return float(value) if isinstance(value, int | float) else 0.0


def whole(content: dict[str, Any], name: str) -> int:
    """A whole number in a progress file; 0 where it is none."""
    value = content.get(name)
    return value if type(value) is int and value >= 0 else 0
