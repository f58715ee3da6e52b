"""What became of tasks: a driver must neither wait for the dead nor give up on the living."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.running import queue
from harness.running.queue import Seen, fraction, queued_tasks, silent_s, slurm_states, state_of
from jobs.spec.cells import Cell
from jobs.spec.jobs import Count
from results.progress import JobProgress, TaskProgress, read_job
from results.provenance import utc_now
from tests.harness.conftest import Slurm
from tests.harness.made import put_job, put_progress

JOB = Count((Cell("vit_demo", "none", "", "", "gflops"),), "meta")
HERE = {"executor": "local", "host": socket.gethostname()}


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


@pytest.fixture
def sleeper() -> Iterator[psutil.Process]:
    """A process that a task might be."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def entry(process: psutil.Process, **changes: Any) -> dict[str, Any]:
    return HERE | {"id": str(process.pid), "created": process.create_time()} | changes


def state(runs: Path) -> str:
    return state_of(read_job(runs, JOB.id))


def test_a_local_task_is_queued_while_its_process_lives(tmp_path: Path, sleeper: psutil.Process) -> None:
    put_job(tmp_path, JOB)
    assert state(tmp_path) == "pending"
    put_job(tmp_path, JOB, **entry(sleeper))
    assert state(tmp_path) == "queued"
    sleeper.kill()  # and stays a zombie until its parent asks
    while sleeper.status() != psutil.STATUS_ZOMBIE:
        pass
    assert state(tmp_path) == "lost"


@pytest.mark.parametrize(
    "changes",
    [{"created": 1.0}, {"host": "elsewhere"}, {"id": "none"}, {"created": 0.0}, {"id": ""}],
    ids=["process id used again", "another host", "no number", "no time", "never came to be"],
)
def test_what_cannot_be_a_living_task_is_not_waited_for(
    tmp_path: Path, sleeper: psutil.Process, changes: dict[str, Any]
) -> None:
    put_job(tmp_path, JOB, **entry(sleeper, **changes))
    assert state(tmp_path) == "lost"


@pytest.mark.parametrize("earlier", ["failed", "running", "done"])
def test_an_earlier_attempt_does_not_hide_a_queued_one(tmp_path: Path, sleeper: psutil.Process, earlier: str) -> None:
    put_job(tmp_path, JOB, **entry(sleeper, name=f"earlier-{earlier}", id=""))
    put_progress(tmp_path, JOB.id, state=earlier, submission=f"earlier-{earlier}", updated=ago(500), error="it broke")
    name = put_job(tmp_path, JOB, **entry(sleeper))
    assert state(tmp_path) == "queued"
    put_progress(tmp_path, JOB.id, state="failed", submission=name, updated=utc_now(), error="it broke again")
    assert state(tmp_path) == "failed"


@pytest.mark.parametrize(
    ("executor", "age", "expected"),
    [("slurm", 30, "queued"), ("slurm", 200, "lost"), ("local", 1, "queued"), ("local", 10, "lost")],
)
def test_a_submission_may_be_on_its_way_for_a_while(tmp_path: Path, executor: str, age: float, expected: str) -> None:
    put_job(tmp_path, JOB, executor=executor, id=None, time=ago(age))
    assert state(tmp_path) == expected


def test_a_job_runs_while_one_of_its_tasks_does(tmp_path: Path) -> None:
    put_job(tmp_path, JOB, tasks=3)
    put_progress(tmp_path, JOB.id, 0, state="failed")
    put_progress(tmp_path, JOB.id, 2, state="running")
    assert state(tmp_path) == "running"


def test_half_of_the_tasks_begun_is_not_half_of_the_work_done() -> None:
    tasks = [TaskProgress(0, "done", 8, 8), TaskProgress(1)]
    assert fraction(JobProgress("job", "running", {}, {}, tasks)) == 0.5
    assert fraction(JobProgress("job", "running", {}, {}, [TaskProgress(0)])) is None


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("PENDING", "queued"),
        ("RUNNING", "queued"),
        ("REQUEUED", "queued"),
        ("SUSPENDED", "queued"),
        ("COMPLETED", "lost"),
        ("FAILED", "lost"),
        ("CANCELLED by 1000", "cancelled"),
        ("OUT_OF_MEMORY", "lost"),
        ("PREEMPTED", "lost"),
        ("TIMEOUT", "lost"),
        ("NODE_FAIL", "lost"),
        ("BOOT_FAIL", "lost"),
    ],
)
def test_a_silent_task_is_what_slurm_says_of_it(tmp_path: Path, slurm: Slurm, found: str, expected: str) -> None:
    slurm.put("123.sh")
    slurm.set_state("123", found)
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(5000))
    assert state(tmp_path) == expected


def test_a_lost_task_that_slurm_has_requeued_is_queued(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("123.sh")
    slurm.set_state("123", "PENDING")
    name = put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(5000))
    for told in ("running", "stopped"):
        put_progress(tmp_path, JOB.id, state=told, submission=name, updated=ago(500))
        slurm.set_state("123", "PENDING")
        assert state(tmp_path) == "queued"
        slurm.set_state("123", "NODE_FAIL")
        assert state(tmp_path) == {"running": "lost"}.get(told, told)
        slurm.set_state("123", "CANCELLED by 0")
        assert state(tmp_path) == "cancelled"


def test_waiting_tasks_of_an_array_are_written_as_a_range(slurm: Slurm) -> None:
    slurm.put("squeue_down")
    slurm.put("7.sh", "#SBATCH --array=0-4%2\n")
    for task, found in enumerate(("COMPLETED", "RUNNING", "PENDING", "PENDING", "PENDING")):
        slurm.set_state(f"7_{task}", found)
    states = slurm_states(["7_0", "7_4"])
    assert states is not None
    found = {job: seen.state for job, seen in states.items()}
    assert found == {"7_0": "COMPLETED", "7_1": "RUNNING", "7_2": "PENDING", "7_3": "PENDING", "7_4": "PENDING"}


def test_what_squeue_has_forgotten_accounting_knows(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("forget")
    slurm.put("7.sh", "#SBATCH --array=0-1%2\n")
    slurm.set_state("7_0", "CANCELLED by 1000")
    slurm.set_state("7_1", "RUNNING")
    states = slurm_states(["7_0", "7_1"])
    assert states == {
        "7_0": Seen("CANCELLED", "node1", "by 1000", "0:0", "sacct"),
        "7_1": Seen("RUNNING", "node1", "None"),
    }


def test_a_job_that_slurmctld_has_lost_does_not_run_for_ever_by_accounting(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("forget")
    slurm.put("123.sh")
    slurm.set_state("123", "PENDING")
    assert slurm_states(["123"])
    queue._answers.states = {"123": Seen("RUNNING", by="sacct")}
    queue._answers.until = float("inf")
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(queue.GRACE_S - 30))
    assert state(tmp_path) == "queued"
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(queue.GRACE_S + 30))
    assert state(tmp_path) == "lost"


@pytest.mark.parametrize("down", ["sacct_down", "squeue_down"])
def test_one_of_squeue_and_sacct_is_enough(tmp_path: Path, slurm: Slurm, down: str) -> None:
    slurm.put(down)
    slurm.put("123.sh")
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(5000))
    for found, expected in (("PENDING", "queued"), ("RUNNING", "queued"), ("COMPLETED", "lost")):
        slurm.set_state("123", found)
        assert state(tmp_path) == expected
        assert silent_s() == 0


def test_a_job_that_nobody_knows_is_given_time_to_appear(tmp_path: Path, slurm: Slurm) -> None:
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(queue.GRACE_S - 30))
    assert state(tmp_path) == "queued"
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(queue.GRACE_S + 30))
    assert state(tmp_path) == "lost"


def test_a_silent_slurm_is_waited_for(tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "POLL_S", 0)
    monkeypatch.setattr(queue, "COST", 0)
    monkeypatch.setattr(queue, "GRACE_S", 0)
    for name in ("sacct_down", "squeue_down", "123.sh"):
        slurm.put(name)
    slurm.set_state("123", "PENDING")
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(5000))
    assert state(tmp_path) == "queued", "it would be submitted twice"
    assert silent_s() > 0
    (slurm.folder / "squeue_down").unlink()
    assert (state(tmp_path), silent_s()) == ("queued", 0)
    slurm.put("squeue_down")
    assert state(tmp_path) == "queued"
    assert silent_s() < 5, "the wait begins anew after an answer"


def test_a_job_that_accounting_does_not_have_yet_is_not_given_up_while_squeue_is_silent(
    tmp_path: Path, slurm: Slurm
) -> None:
    slurm.put("squeue_down")
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(5000))
    assert state(tmp_path) == "queued"
    assert silent_s() > 0


def test_slurm_is_asked_once_for_all_jobs_of_an_array_and_not_at_every_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    answer = "".join(f"9_{task}|PENDING||Priority\n" for task in range(12))
    monkeypatch.setattr(queue, "answer", lambda *command: asked.append(command) or answer)
    jobs = [Count((Cell("vit_demo", f"random:r={r}", "", "", "gflops"),), "meta") for r in range(1, 4)]
    for number, job in enumerate(jobs):
        units = [(one.id, task) for one in jobs for task in range(4)]
        put_job(tmp_path, job, tasks=4, executor="slurm", id="9", units=units, name=f"array-{tmp_path.name}-{number}")
    for _ in range(3):
        for job in jobs:
            assert queued_tasks(read_job(tmp_path, job.id)) == {0, 1, 2, 3}
    assert len(asked) == 1
    assert asked[0][0] == "squeue"


def test_without_slurm_on_this_machine_nothing_says_that_a_job_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(5000))
    assert state(tmp_path) == "queued"
