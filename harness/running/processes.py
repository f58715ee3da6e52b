"""The processes of this machine that run tasks of a runs folder."""

import socket
from pathlib import Path
from typing import NamedTuple

from harness.running.queue import process_of
from jobs.spec.wire import KINDS
from results.progress import lives, read_progress

Process = tuple[int, float]
"""A process: its id and its creation time, as ids are used again."""


class Use(NamedTuple):
    """What a process does here."""

    exclusive: bool
    """Whether it needs the machine to itself."""
    lane: int | str
    """Which of the places for a task it takes, if known; else a unique name."""


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
