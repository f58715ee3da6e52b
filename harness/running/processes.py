"""What this machine has to run tasks on, and what of a runs folder runs on it already."""

import os
import re
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple

from harness.profiles import Launch
from harness.running.queue import process_of
from jobs.wire import KINDS
from results.progress import lives, read_progress
from results.provenance import cores

Process = tuple[int, float]
"""A process: its id and its creation time, as ids are used again."""


class Use(NamedTuple):
    """What a process does here."""

    exclusive: bool
    """Whether it needs the machine to itself."""
    lane: int | str
    """Which of the places for a task it takes, as far as that is known; else a name of its own."""


def lanes(launch: Launch) -> int:
    """How many tasks may run here at a time: no more than there are cores and, if they need one, GPUs for them.

    ValueError where tasks need a GPU and there is none.
    """
    count = max(1, cores() // launch.cpus_per_task)
    if launch.gpus_per_task:
        found = gpus()
        if not found:
            raise ValueError("launch.gpus_per_task is 1, but this machine has no NVIDIA GPU to show; set it to 0")
        count = min(count, len(found))
    return count


def gpus() -> tuple[int, ...]:
    """The numbers of the GPUs that may be used: those in $CUDA_VISIBLE_DEVICES, else all that nvidia-smi lists."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        if not all(re.fullmatch("[0-9]+", name) for name in names):
            raise ValueError(f"CUDA_VISIBLE_DEVICES={visible}: name the GPUs by number, as in 0,1")
        return tuple(int(name) for name in names)
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(range(len(re.findall(r"^GPU \d+:", listed, re.MULTILINE))))


def processes(runs: Path) -> dict[Process, Use]:
    """The processes here that run tasks of `runs` or will. A shell and what it has started share a lane."""
    found: dict[Process, Use] = {}
    for job in read_progress(runs):
        kind = KINDS.get(str(job.job.get("kind")))
        exclusive = kind is not None and kind.exclusive
        for one in job.entries.values():
            if one.submission and (process := process_of(one)):
                lane = one.submission.lane
                found[process] = Use(exclusive, f"process {process[0]}" if lane is None else lane)
        for task in job.tasks:
            if task.host == socket.gethostname():
                entry = job.entries.get(task.task)
                lane = entry.submission.lane if entry and entry.submission else None
                found[task.pid, task.pid_created] = Use(exclusive, f"process {task.pid}" if lane is None else lane)
    return {process: use for process, use in found.items() if lives(*process)}
