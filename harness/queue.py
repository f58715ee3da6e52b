"""What became of tasks that were submitted and have not reported since: still waiting, or gone."""

import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from results.progress import JobProgress, lives

GRACE_S = 300.0
"""A cluster job that sacct does not know is given this long to appear."""
POLL_S = 15.0
"""How long an answer of sacct is good for."""
WAITING = {"PENDING", "RUNNING", "REQUEUED", "CONFIGURING", "COMPLETING", "RESIZING", "SUSPENDED", "REQUEUE_HOLD"}

_answers: dict[str, tuple[float, dict[str, str]]] = {}


def queued_tasks(job: JobProgress, runs: Path) -> set[int]:
    """The tasks of `job` that were submitted, have not reported since, and may still start."""
    waiting = {}
    for task in job.tasks:
        submitted = job.submitted.get("tasks", {}).get(str(task.task))
        if isinstance(submitted, dict) and str(submitted.get("time", "")) > task.updated:
            waiting[task.task] = submitted
    if not waiting:
        return set()
    if job.submitted.get("executor") == "local":
        return {task for task, submitted in waiting.items() if _process_lives(job, submitted)}
    states = slurm_states(sorted({str(one.get("id", "")).partition("_")[0] for one in waiting.values()}))
    return {task for task, submitted in waiting.items() if _job_waits(submitted, states)}


def slurm_states(ids: list[str]) -> dict[str, str]:
    """The state of each job and array task of `ids` by sacct; empty where sacct does not answer."""
    from submitit.slurm.slurm import SlurmInfoWatcher

    key = ",".join(ids)
    when, known = _answers.get(key, (float("-inf"), {}))
    if time.monotonic() - when < POLL_S:
        return known
    command = ["sacct", "-o", "JobID,State,NodeList", "--parsable2", "-j", key]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        known = {job: one["State"].split(" ")[0] for job, one in SlurmInfoWatcher().read_info(answer).items()}
    except (OSError, subprocess.SubprocessError, KeyError):
        known = {}
    _answers[key] = (time.monotonic(), known)
    return known


def _process_lives(job: JobProgress, submitted: dict[str, Any]) -> bool:
    try:
        here = job.submitted.get("host") == socket.gethostname()
        return here and lives(int(submitted["id"]), float(submitted["created"]))
    except (KeyError, TypeError, ValueError):
        return False


def _job_waits(submitted: dict[str, Any], states: dict[str, str]) -> bool:
    state = states.get(str(submitted.get("id")))
    if state:
        return state in WAITING
    try:
        age = datetime.now(UTC) - datetime.fromisoformat(submitted["time"])
        return age.total_seconds() < GRACE_S
    except (KeyError, TypeError, ValueError):
        return False
