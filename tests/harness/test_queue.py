"""What became of tasks: a driver must neither wait for the dead nor give up on the living."""

import itertools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import queue, watch
from harness.plan import make_plan
from harness.queue import fraction, queued_tasks, slurm_states, state_of
from jobs.cells import Cell
from jobs.spec import Count
from results.progress import JobProgress, TaskProgress, read_job
from results.provenance import utc_now
from tests.harness.conftest import Slurm
from tests.harness.made import make_planner, make_table, put_job, put_progress

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
    [{"created": 1.0}, {"host": "elsewhere"}, {"id": "none"}, {"created": None}, {"executor": "other"}],
    ids=["process id used again", "another host", "no number", "no time", "unknown executor"],
)
def test_what_cannot_be_a_living_task_is_not_waited_for(
    tmp_path: Path, sleeper: psutil.Process, changes: dict[str, Any]
) -> None:
    put_job(tmp_path, JOB, **entry(sleeper, **changes))
    assert state(tmp_path) == "lost"


@pytest.mark.parametrize("earlier", ["failed", "running", "done"])
def test_an_earlier_attempt_does_not_hide_a_queued_one(tmp_path: Path, sleeper: psutil.Process, earlier: str) -> None:
    put_progress(tmp_path, JOB.id, state=earlier, updated=ago(500), error="it broke")
    put_job(tmp_path, JOB, **entry(sleeper, time=ago(5)))
    assert state(tmp_path) == "queued"
    put_progress(tmp_path, JOB.id, state="failed", updated=utc_now(), error="it broke again")
    assert state(tmp_path) == "failed"


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
        ("CANCELLED by 1000", "lost"),
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
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(5000))
    put_progress(tmp_path, JOB.id, updated=ago(500))
    assert state(tmp_path) == "queued"
    slurm.set_state("123", "CANCELLED by 0")
    assert state(tmp_path) == "lost"


def test_waiting_tasks_of_an_array_are_written_as_a_range(slurm: Slurm) -> None:
    slurm.put("7.sh", "#SBATCH --array=0-4%2\n")
    for task, found in enumerate(("COMPLETED", "RUNNING", "PENDING", "PENDING", "PENDING")):
        slurm.set_state(f"7_{task}", found)
    states = slurm_states(["7_0", "7_4"])
    assert states == {"7_0": "COMPLETED", "7_1": "RUNNING", "7_2": "PENDING", "7_3": "PENDING", "7_4": "PENDING"}


def test_squeue_answers_where_sacct_does_not(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("sacct_down")
    slurm.put("123.sh")
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(5000))
    for found, expected in (("PENDING", "queued"), ("RUNNING", "queued"), ("COMPLETED", "lost")):
        slurm.set_state("123", found)
        assert state(tmp_path) == expected


def test_a_job_that_nobody_knows_is_given_time_to_appear(tmp_path: Path, slurm: Slurm) -> None:
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(queue.GRACE_S - 30))
    assert state(tmp_path) == "queued"
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(queue.GRACE_S + 30))
    assert state(tmp_path) == "lost"


def test_a_silent_slurm_is_waited_for_but_not_for_ever(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm.put("sacct_down")
    slurm.put("squeue_down")
    slurm.put("123.sh")
    slurm.set_state("123", "PENDING")
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(5000))
    assert state(tmp_path) == "queued", "it would be submitted twice"
    (slurm.folder / "squeue_down").unlink()
    monkeypatch.setattr(queue, "POLL_S", 0)
    assert state(tmp_path) == "queued"
    slurm.put("squeue_down")
    assert state(tmp_path) == "queued", "the wait begins anew after an answer"
    monkeypatch.setattr(queue, "GRACE_S", 0)
    assert state(tmp_path) == "lost"


def test_slurm_is_asked_once_for_all_tasks_and_not_at_every_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        queue, "_ask", lambda *command: asked.append(command) or "JobID|State|NodeList\n9_[0-3]|PENDING|\n"
    )
    put_job(tmp_path, JOB, tasks=4, executor="slurm", id="9_0")
    for _ in range(3):
        assert queued_tasks(read_job(tmp_path, JOB.id)) == {0, 1, 2, 3}
    assert len(asked) == 1
    assert asked[0][0] == "sacct"


def test_without_slurm_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    put_job(tmp_path, JOB, executor="slurm", id="123", time=ago(5000))
    assert state(tmp_path) == "queued"
    monkeypatch.setattr(queue, "GRACE_S", 0)
    assert state(tmp_path) == "lost"


def test_the_driver_stops_waiting_when_slurm_says_that_a_silent_task_is_dead(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.02)
    plan = make_plan([make_table(JOB.cells)], make_planner(tmp_path), ())
    runs = tmp_path / "runs"
    slurm.put("5.sh")
    slurm.put("5.state", "PENDING")
    put_job(runs, plan.jobs[0], executor="slurm", id="5")
    waiting = threading.Thread(target=watch.wait, args=(plan, runs), daemon=True)
    waiting.start()
    for found in ("PENDING", "RUNNING", "OUT_OF_MEMORY"):
        waiting.join(timeout=0.5)
        assert waiting.is_alive()
        slurm.put("5.state", found)
    waiting.join(timeout=20)
    assert not waiting.is_alive()
    assert "1 of 1 jobs ended" in capsys.readouterr().out


def test_what_running_jobs_say_of_themselves_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make_plan([make_table(JOB.cells)], make_planner(tmp_path), ())
    runs, text = tmp_path / "runs", "loss 1.234, 12.3 clips/s"
    (job,) = plan.jobs
    put_job(runs, job)
    me = psutil.Process()
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "pid_created": me.create_time(), "text": text}
    put_progress(runs, job.id, **mine)
    assert read_job(runs, job.id).text == text
    monkeypatch.setattr(watch, "SAY_S", -1)
    for display in (watch._lines(), watch._bars(plan)):
        with display as show:
            show([read_job(runs, job.id)], 0)
        assert text in capsys.readouterr().out
    put_progress(runs, job.id, **mine, state="done")
    assert read_job(runs, job.id).text == "", "what has ended says no more"


def test_plain_lines_say_when_something_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make_plan([make_table(JOB.cells)], make_planner(tmp_path), ())
    runs = tmp_path / "runs"
    (job,) = plan.jobs
    put_job(runs, job)
    me = psutil.Process()
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "pid_created": me.create_time(), "total": 4}
    steps = itertools.chain([1, 1, 2, 4])

    def look(_: float) -> None:
        done = next(steps)
        put_progress(runs, job.id, done=done, state="done" if done == 4 else "running", **mine)

    look(0)
    monkeypatch.setattr(watch, "SAY_S", 0)
    monkeypatch.setattr(watch.time, "sleep", look)
    watch.wait(plan, runs)
    said = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == [f"{int(done == 4)} of 1 jobs ended, {done} of 4 steps" for done in (1, 2, 4)]
