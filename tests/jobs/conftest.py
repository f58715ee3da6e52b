"""What tasks do in tests, and the scheduler that they ask."""

from pathlib import Path

import pytest

from jobs.node.task import Task
from jobs.spec.jobs import Job
from jobs.work import count
from results.attempts import Unit
from tests.jobs.submitted import Action, Acts, Scontrol


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> Acts:
    def act(action: Action) -> list[Unit]:
        done: list[Unit] = []

        def run(job: Job, task: Task) -> None:
            done.append((task.job_id, task.index))
            action(job, task)

        monkeypatch.setattr(count, "run", run)
        return done

    return act


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scontrol:
    """As in an array task of SLURM, with nothing to wait for."""
    found = Scontrol(tmp_path)
    monkeypatch.setenv("PATH", found.path)
    for name, value in {"JOB_ID": "10", "ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr("jobs.node.requeue.AGAIN_S", 0.01)
    monkeypatch.setattr("jobs.node.requeue.WAIT_S", 0.0)
    return found
