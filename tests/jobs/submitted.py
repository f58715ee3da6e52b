"""Jobs and submissions as a driver leaves them, run in this process, and SLURM's scontrol for them."""

import os
import signal
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.node.task import Task
from jobs.run import run_submission
from jobs.spec.cells import Cell
from jobs.spec.jobs import Count, Job
from jobs.spec.wire import to_dict
from results.attempts import Submission, Unit, write_submission
from results.files import write_json
from results.progress import TaskProgress, job_folder, read_job
from results.provenance import utc_now

# Answers `show job` with the file `job`, and fails to requeue as often as the file `failures` says.
SCONTROL = """#!/bin/sh
cd "{folder}" || exit 1
echo "$@" >> asked
case "$1" in
show) cat job ;;
requeue)
    left=$(cat failures 2>/dev/null || echo 0)
    [ "$left" -eq 0 ] || {{ echo $((left - 1)) > failures; echo "slurm_update error: busy" >&2; exit 1; }}
    for process in $(cat processes 2>/dev/null); do kill -TERM "$process"; done ;;
esac
"""


Action = Callable[[Job, Task], None]
Acts = Callable[[Action], list[Unit]]
"""Has tasks do something else than to count; returns the list that they will be noted in."""


def put_job(runs: Path, name: str = "job", tasks: int = 1) -> Count:
    """The cheapest job there is."""
    job = Count((Cell("vit_demo", "none", "", "", "gflops"),), "meta")
    content = {"id": name, "kind": "count", "tasks": tasks, "profile": "test", "spec": to_dict(job)}
    write_json(job_folder(runs, name) / "job.json", content)
    return job


def task_of(runs: Path, name: str = "job", index: int = 0) -> TaskProgress:
    return read_job(runs, name).tasks[index]


def told(*signals: signal.Signals) -> Action:
    """As one who is told by these signals between two batches."""

    def action(job: Job, task: Task) -> None:
        for number in signals:
            os.kill(os.getpid(), number)
        task.check_stop()

    return action


def submit(runs: Path, units: Sequence[Unit], kind: str = "sequence", **settings: Any) -> str:
    """Leave word of a submission, with a name of its own; returns that."""
    logs = runs / "logs"
    name = f"submission-{len(list(logs.iterdir())) if logs.exists() else 0}"
    values = {"executor": "local", "time": utc_now(), "time_min": 60} | settings
    write_submission(runs, Submission(name=name, kind=kind, units=tuple(units), **values))
    return name


def run_here(runs: Path, *units: Unit) -> None:
    """Run tasks one after the other; RuntimeError where not all are done then."""
    run_submission(str(runs), submit(runs, units))


def not_done(runs: Path, name: str) -> str:
    """Run a submission that does not end well; what it says."""
    with pytest.raises(RuntimeError) as caught:
        run_submission(str(runs), name)
    return str(caught.value)


class Scontrol:
    """A stand-in for scontrol, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "scontrol"
        self.folder.mkdir()
        script = self.folder / "scontrol"
        script.write_text(SCONTROL.format(folder=self.folder))
        script.chmod(0o700)
        self.path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        self.says("RUNNING")

    def put(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def says(self, state: str, preempted: bool = False, end: datetime | None = None) -> None:
        """What `show job` answers; times are those of this place, as SLURM prints them."""
        when = "2026-01-01T00:00:00" if preempted else "None"
        ends = end.isoformat(timespec="seconds") if end else "Unknown"
        self.put("job", f"JobId=7 JobState={state} Reason=None\n   EndTime={ends} Deadline=N/A PreemptTime={when}\n")

    @property
    def requeued(self) -> list[str]:
        """The jobs that were to be requeued, each try once."""
        asked = self.folder / "asked"
        lines = asked.read_text().splitlines() if asked.exists() else []
        return [line.removeprefix("requeue ") for line in lines if line.startswith("requeue ")]
