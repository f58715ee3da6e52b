"""A training that is asked to stop outside of its steps: all of its processes stop, and SLURM is asked once."""

import functools
import os
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from jobs.work.scores import BlockStore
from results.progress import read_job
from results.records import read_records
from tests.jobs.gang_of import make_training, start
from tests.jobs.small_set import make_set
from tests.jobs.submitted import Scontrol


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("set"), videos=9, frames=40)


def end(processes: list[ForkServerProcess]) -> None:
    for process in processes:
        process.join(240)
        assert process.exitcode is not None, "it does not end"


def warned_at_the_start() -> None:
    """Have the second process told while it imports and reads."""
    from jobs.work import train

    check = train.check_unchanged

    def check_and_tell(*inputs: Any) -> None:
        check(*inputs)
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGUSR2)

    train.check_unchanged = check_and_tell


def in_slurm_job() -> None:
    os.environ["SLURM_JOB_ID"] = "7"


def warned_in_evaluation(path: str) -> None:
    """As in a SLURM job whose second process is told after its first block."""
    in_slurm_job()
    os.environ["PATH"] = path
    write = BlockStore.write

    def write_and_tell(*block: Any) -> None:
        write(*block)
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGUSR2)

    BlockStore.write = write_and_tell  # type: ignore[method-assign]


def test_told_while_it_starts_it_does_not_begin(labels: Path, tmp_path: Path) -> None:
    job = make_training(labels, tasks_per_node=2, micro_batch=2)
    end(start(tmp_path, job, warned_at_the_start))
    found = read_job(tmp_path, job.id)
    words = "asked to stop (SIGUSR2); run the same command to resume"
    assert [(task.state, task.error) for task in found.tasks] == [("stopped", words)] * 2
    assert not (tmp_path / "jobs" / job.id / "steps.csv").exists()


def test_told_in_its_evaluation_it_is_requeued_once_and_goes_on_as_the_same_submission(
    labels: Path, tmp_path: Path
) -> None:
    scontrol = Scontrol(tmp_path)
    job = make_training(labels, tasks_per_node=2, micro_batch=2)
    before = functools.partial(warned_in_evaluation, scontrol.path)
    processes = start(tmp_path, job, before, executor="slurm", time_min=2, timeouts=1)
    # SLURM ends what it requeues; only then the process that does not ask may end.
    scontrol.put("processes", str(processes[1].pid))
    end(processes)
    stopped = read_job(tmp_path, job.id).tasks
    assert [(task.state, task.timeouts) for task in stopped] == [("stopped", 1)] * 2
    assert scontrol.requeued == ["7"]
    assert read_records(tmp_path)[0] == []
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert finished
    end(start(tmp_path, job, in_slurm_job, name=stopped[0].submission))
    done = read_job(tmp_path, job.id)
    assert (done.state, done.error) == ("done", "")
    assert [task.restarts for task in done.tasks] == [1, 1]
    assert finished.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}.items()
    assert len(read_records(tmp_path)[0]) == 4
