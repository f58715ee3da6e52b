"""The logs of a job's tasks: which files they are, and how they end."""

import os
import re
from dataclasses import replace
from pathlib import Path

from harness.running.retries import Verdict, of_a_peer, wordless
from results.attempts import Entry, submission_folder
from results.progress import PEER_LOST, JobProgress, TaskProgress

_SRUN = re.compile(r"^srun: error: (\S+): tasks? (\d+)\S*: (.+)$", re.MULTILINE)
TAIL_BYTES = 2**20
"""So much of the end of a log is read; of a training's of days, that is hours."""


def log_files(job: JobProgress, runs: Path) -> list[tuple[Path, int]]:
    """The log files that hold something, each with the first task that it is of: those of the task that failed first
    come first, as the others of a gang fail because of it."""
    found: dict[Path, int] = {}
    for task in sorted(job.tasks, key=lambda task: _how_telling(job, task)):
        if entry := job.entries.get(task.task):
            for path in _files(entry, runs):
                if path.is_file() and path.stat().st_size:
                    found.setdefault(path, task.task)
    return list(found.items())


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a file."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def last_words(job: JobProgress, runs: Path) -> str:
    """The last two lines that the task which failed first has written, as one; empty where it wrote none. What is an
    error is in the file that ends in .err, if it is anywhere."""
    files = log_files(job, runs)
    own = [path for path, task in files if task == files[0][1]]
    for path in sorted(own, key=lambda path: (path.suffix != ".err", path.name == "process.log")):
        if said := [line.strip() for line in tail(path, 20) if line.strip()]:
            return " / ".join(said[-2:])
    return ""


def with_words(verdict: Verdict, entry: Entry, runs: Path) -> Verdict:
    """The verdict on a task without a report, with what srun said when the first of its processes ended."""
    if entry.executor != "slurm" or not wordless(verdict.text):
        return verdict
    path = submission_folder(runs, entry.name) / f"{entry.id}_0_log.err"
    if not path.is_file():
        return verdict
    # One that was requeued wrote there before.
    runs_of_it = [part for part in "\n".join(tail(path, 200)).split("srun: Force Terminated") if _SRUN.search(part)]
    found = _SRUN.search(runs_of_it[-1]) if runs_of_it else None
    if not found:
        return verdict
    node, rank, what = found[1], int(found[2]), found[3]
    if rank != entry.rank:
        return replace(verdict, text=f"{PEER_LOST}, and this one was ended with it")
    return replace(verdict, text=f"its process on {node} ended without an error message: {what}", node=node)


def show_logs(jobs: list[JobProgress], runs: Path, lines: int) -> None:
    """Print the end of each log, under its path."""
    shown: set[Path] = set()
    for job in jobs:
        files = log_files(job, runs)
        for path, task in files:
            if path in shown:
                continue  # several jobs of one process
            shown.add(path)
            print(f"==> {path} (job {job.id}, task {task})")
            print("\n".join(tail(path, lines)))
        if not files:
            print(f"job {job.id} has no log yet")


def _files(entry: Entry, runs: Path) -> list[Path]:
    folder = submission_folder(runs, entry.name)
    # What stands before the task began, a setup that fails say, is not in submitit's own files.
    own = f"{entry.id}_{entry.rank}_log"
    return [folder / name for name in ("process.log", f"{own}.out", f"{own}.err")]


def _how_telling(job: JobProgress, task: TaskProgress) -> tuple[bool, bool, str]:
    entry = job.entries.get(task.task)
    noted = job.ended.get(entry.attempt, {}).get(task.task, {}) if entry else {}
    bad = task.state in ("failed", "lost") or (bool(noted) and task.state != "done")
    return not bad, of_a_peer(noted.get("text") or task.error), task.updated if bad else ""
