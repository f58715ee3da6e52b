"""Cancelling jobs: by a file in their folders, which their tasks check, and by scancel."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness.following.job_selection import Chosen, cells_of
from harness.running.queue import WAITING, has_told, known_states, state_of, under_way
from results.files import write_json
from results.progress import JobProgress, job_folder, read_job

SCANCEL_S = 60
IDS = 200
"""How many ids are passed to one scancel."""
ENDED = re.compile(r"Invalid job id|already complet|not found", re.IGNORECASE)
"""What scancel says of a job that has already ended."""


def cancel(jobs: Sequence[JobProgress], chosen: Chosen, runs: Path) -> None:
    """Stop jobs: running tasks between two batches, waiting ones before they begin. ValueError where cells are chosen
    of a job that has others too, and then nothing is stopped; and where SLURM does not do its part."""
    going = [job for job in jobs if under_way(job)]
    if shared := [_shared(job, others) for job in going if (others := len(cells_of(job)) - len(chosen[job.id])) > 0]:
        raise ValueError("; ".join(shared))
    # Before anything leaves the queue: a task that starts in between must find it.
    for job in going:
        write_json(job_folder(runs, job.id) / "cancelled", {})
    # A driver may have restarted some of it since.
    ids = [one for job in going for one in _in_queue(read_job(runs, job.id))]
    problem = _scancel(ids)
    for job in jobs:
        state = "asked to stop" if job in going else f"{state_of(job)} already"
        print(f"job {job.id} is {state}")
    if problem:
        raise ValueError(f"{problem}; running tasks stop by themselves, queued ones as soon as they start")


def _shared(job: JobProgress, others: int) -> str:
    cells = f"{others} other cells" if others > 1 else "another cell"
    return f"job {job.id} also has {cells}: use --cancel with the job's id to stop all of it"


def _in_queue(job: JobProgress) -> list[str]:
    """SLURM's ids of the job's tasks that have not ended, as far as is known; the processes of a gang are one job."""
    entries = [job.entries[task.task] for task in job.tasks if task.task in job.entries and not has_told(job, task)]
    states = known_states(entries)
    ids = dict.fromkeys(entry.id for entry in entries if entry.executor == "slurm" and entry.id)
    return [one for one in ids if one not in states or states[one].state in WAITING]


def _scancel(ids: Sequence[str]) -> str:
    """Have SLURM cancel jobs and tasks of arrays; what was wrong, empty if nothing was."""
    wrong: dict[str, None] = {}
    for first in range(0, len(ids), IDS):
        command = ["scancel", *ids[first : first + IDS]]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SCANCEL_S)
        except subprocess.TimeoutExpired:
            return "scancel does not answer"
        lines = [line for line in done.stderr.splitlines() if line.strip() and not ENDED.search(line)]
        wrong |= dict.fromkeys(re.sub(r"^scancel: (error: )?", "", line) for line in lines)
        if done.returncode and not done.stderr.strip():
            wrong[f"it ended with exit code {done.returncode}"] = None
    return f"scancel: {'; '.join(list(wrong)[:3])}" if wrong else ""
