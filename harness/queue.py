"""What became of tasks that were submitted: running, still waiting, or gone without a word.

A process is looked up by its id and creation time, a SLURM job through sacct, and through squeue where sacct does not
answer or does not know it (yet).
"""

import re
import socket
import subprocess
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from results.progress import JobProgress, lives

GRACE_S = 300.0
"""A SLURM job that nobody knows is given this long to appear, and a silent SLURM this long to answer."""
POLL_S = 15.0
"""How long an answer of SLURM is good for."""
WAITING = {"PENDING", "RUNNING", "REQUEUED", "CONFIGURING", "COMPLETING", "RESIZING", "SUSPENDED", "REQUEUE_HOLD"}

_answers: dict[str, tuple[float, dict[str, str] | None]] = {}
_silent_since: float | None = None


def state_of(job: JobProgress) -> str:
    """running, queued, failed, lost (it ended without a word), done, or pending (never submitted)."""
    if any(task.state == "running" for task in job.tasks):
        return "running"
    if queued_tasks(job):
        return "queued"
    return "lost" if job.state == "submitted" else job.state


def queued_tasks(job: JobProgress) -> set[int]:
    """The tasks of `job` that do not run, have not reported since they were submitted, and may still start."""
    waiting = {}
    for task in job.tasks:
        entry = job.submitted.get("tasks", {}).get(str(task.task))
        if not isinstance(entry, dict) or task.state == "running":
            continue
        # One that was lost may be back in SLURM's queue under the same id.
        requeued = task.state == "lost" and entry.get("executor") == "slurm"
        if requeued or str(entry.get("time", "")) > task.updated:
            waiting[task.task] = entry
    found = {task for task, entry in waiting.items() if process_lives(entry)}
    in_slurm = {task: entry for task, entry in waiting.items() if entry.get("executor") == "slurm"}
    if in_slurm:
        states = slurm_states([str(entry.get("id")) for entry in in_slurm.values()])
        found |= {task for task, entry in in_slurm.items() if _job_waits(entry, states)}
    return found


def fraction(job: JobProgress) -> float | None:
    """How much of a job is done, 0 to 1; tasks that have not begun are taken to be like the others."""
    begun = sum(task.total > 0 for task in job.tasks)
    return job.done / job.total * begun / len(job.tasks) if begun else None


def process_of(entry: Any) -> tuple[int, float] | None:
    """The process id and creation time in a task's entry of submitted.json, if it is one of this host."""
    try:
        if entry["executor"] == "local" and entry["host"] == socket.gethostname():
            return int(entry["id"]), float(entry["created"])
    except (KeyError, TypeError, ValueError):
        pass
    return None


def process_lives(entry: Any) -> bool:
    """Whether the process of a task's entry runs on this host."""
    process = process_of(entry)
    return process is not None and lives(*process)


def slurm_states(ids: Collection[str]) -> dict[str, str] | None:
    """The state of jobs and array tasks by their ids, as far as SLURM knows them; None where it does not answer."""
    global _silent_since
    key = ",".join(sorted({one.partition("_")[0] for one in ids}))
    when, states = _answers.get(key, (float("-inf"), None))
    if time.monotonic() - when < POLL_S:
        return states
    states = _sacct(key)
    if states is None or any(one not in states for one in ids):
        queued = _squeue(key)
        states = states if queued is None else queued | (states or {})
    if states is not None:
        _silent_since = None
    elif _silent_since is None:
        _silent_since = time.monotonic()
    _answers[key] = (time.monotonic(), states)
    return states


def _sacct(ids: str) -> dict[str, str] | None:
    from submitit.slurm.slurm import SlurmInfoWatcher

    answer = _ask("sacct", "-o", "JobID,State,NodeList", "--parsable2", "-j", ids)
    try:
        found = SlurmInfoWatcher().read_info(answer) if answer is not None else None
        return None if found is None else {job: one["State"].split(" ")[0] for job, one in found.items()}
    except (KeyError, ValueError):
        return None


def _squeue(ids: str) -> dict[str, str] | None:
    answer = _ask("squeue", "--noheader", "--array", "--format", "%i|%T", "--jobs", ids)
    return None if answer is None else dict(re.findall(r"^\s*(\d+(?:_\d+)?)\|(\w+)", answer, re.MULTILINE))


def _ask(*command: str) -> str | None:
    """What a command of SLURM answers; None where it fails otherwise than by not knowing the job."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    if done.returncode and "Invalid job id" not in done.stderr:
        return None
    return done.stdout


def _job_waits(entry: dict[str, Any], states: dict[str, str] | None) -> bool:
    if states is None:
        return _silent_since is not None and time.monotonic() - _silent_since < GRACE_S
    if state := states.get(str(entry.get("id"))):
        return state in WAITING
    try:
        age = datetime.now(UTC) - datetime.fromisoformat(entry["time"])
        return age.total_seconds() < GRACE_S
    except (KeyError, TypeError, ValueError):
        return False
