"""Waiting for jobs: what is shown, what is started again, and when a driver no longer waits."""

import itertools
import os
import socket
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.following import watch
from harness.following.watch import Watch
from harness.planning.plan import Plan, make_plan
from harness.planning.planner import Planner
from harness.running import launch, queue
from harness.running.queue import state_of
from harness.running.slurm import cluster
from harness.running.submission import Sent, Start
from jobs.spec.cells import Cell
from results.progress import read_job
from results.records import read_records
from tests.harness.conftest import Slurm
from tests.harness.made import make_planner, make_table, put_attempt, put_job, put_progress, put_record
from tests.harness.place import Place

CELL = Cell("vit_demo", "none", "", "", "gflops")
EVALUATE = Cell("vit_demo", "none", "motion", "2x3", "top1")
OLD = "2026-01-01T00:00:00.000+00:00"


def planned(folder: Path, *cells: Cell, **options: Any) -> tuple[Plan, Planner, Path]:
    planner = make_planner(folder, **options)
    return make_plan([make_table(cells or (CELL,))], planner, ()), planner, folder / "runs"


def mine(**changes: Any) -> dict[str, Any]:
    """The progress of a task that runs, as this very process does."""
    me = psutil.Process()
    return {"host": socket.gethostname(), "pid": os.getpid(), "pid_created": me.create_time()} | changes


def test_the_driver_stops_waiting_when_slurm_says_that_a_silent_task_is_dead(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.02)
    plan, planner, runs = planned(tmp_path, executor="slurm", tasks=1, retries=0)
    slurm.put("5.sh")
    slurm.put("5.state", "PENDING")
    put_job(runs, plan.jobs[0], executor="slurm", id="5")
    waiting = threading.Thread(target=watch.wait, args=(plan, planner.profile, runs), daemon=True)
    waiting.start()
    for found in ("PENDING", "RUNNING", "OUT_OF_MEMORY"):
        waiting.join(timeout=0.5)
        assert waiting.is_alive()
        slurm.put("5.state", found)
    waiting.join(timeout=20)
    assert not waiting.is_alive()
    assert "1 of 1 job ended" in capsys.readouterr().out
    assert read_job(runs, plan.jobs[0].id).error == "it ran out of memory on node1"


def test_what_running_jobs_say_of_themselves_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, _, runs = planned(tmp_path)
    text = "loss 1.234, 12.3 clips/s"
    (job,) = plan.jobs
    put_job(runs, job)
    put_progress(runs, job.id, **mine(text=text))
    assert read_job(runs, job.id).text == text
    monkeypatch.setattr(watch, "SAY_S", -1)
    for display in (watch._lines(), watch._bars(plan)):
        with display as show:
            show([read_job(runs, job.id)], 0)
        assert text in capsys.readouterr().out
    put_progress(runs, job.id, **mine(text=text), state="done")
    assert read_job(runs, job.id).text == "", "what has ended says no more"


def test_plain_lines_say_when_something_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, planner, runs = planned(tmp_path)
    (job,) = plan.jobs
    put_job(runs, job)
    steps = itertools.chain([1, 1, 2, 4])

    def look(_: float) -> None:
        done = next(steps)
        if done == 4:
            put_record(runs, CELL, id=job.record_id(CELL))
        put_progress(runs, job.id, done=done, state="done" if done == 4 else "running", **mine(total=4))

    look(0)
    monkeypatch.setattr(watch, "SAY_S", 0)
    monkeypatch.setattr(watch.time, "sleep", look)
    watch.wait(plan, planner.profile, runs)
    said = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == [f"{int(done == 4)} of 1 job ended, {done} of 4 steps" for done in (1, 2, 4)]


def test_a_job_that_ends_well_while_slurm_is_asked_is_not_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, planner, runs = planned(tmp_path, executor="slurm", tasks=1)
    (job,) = plan.jobs
    name = put_job(runs, job, executor="slurm", id="5", time=OLD)

    def answer(*_: str) -> str:
        put_record(runs, CELL, id=job.record_id(CELL))
        put_progress(runs, job.id, state="done", submission=name)
        return "5|COMPLETED|node1|None\n"

    monkeypatch.setattr(queue, "answer", answer)
    monkeypatch.setattr(watch, "start_tasks", lambda *_: pytest.fail("it was started again"))
    watch.wait(plan, planner.profile, runs)
    assert read_job(runs, job.id).ended == {}
    assert "again" not in capsys.readouterr().out


def test_what_is_started_again_is_said_and_noted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, planner, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=3)
    (job,) = plan.jobs
    put_job(runs, job, 3, executor="slurm", id="5", time=OLD)
    put_progress(runs, job.id, 1, state="running")
    put_progress(runs, job.id, 2, state="running")
    monkeypatch.setattr(queue, "answer", lambda *_: "5_0|NODE_FAIL|node1|None\n6|PENDING||None\n")
    started: list[Any] = []

    def start(starts: Any, *_: Any) -> Sent:
        started.extend((dict(start.tasks), start.attempt) for start in starts)
        put_attempt(runs, job.id, [0], "slurm", "6", tries=starts[0].tasks)
        return Sent(1)

    monkeypatch.setattr(watch, "start_tasks", start)
    looking = Watch(plan, planner.profile, runs)
    for _ in range(3):
        (seen,) = looking.look()
    assert started == [({0: {"crash": 1}}, 1)]
    assert seen.ended == {1: {0: {"how": "crash", "text": "its node failed on node1", "node": "node1"}}}
    silent = (
        "SLURM's accounting (sacct) does not answer: how jobs ended is taken from squeue and from the jobs' own files"
    )
    said = f"1 of 3 tasks of job {job.id} (grid) started again: its node failed on node1"
    assert capsys.readouterr().out.splitlines() == [silent, said], "each is said once"


def test_of_two_drivers_that_wait_one_starts_the_tasks_again_that_died(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, planner, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=4)
    (job,) = plan.jobs
    launch.submit(plan, planner.profile, runs)
    name = read_job(runs, job.id).entries[0].name
    put_progress(runs, job.id, 3, state="done", submission=name)
    drivers = [Watch(plan, planner.profile, runs) for _ in range(2)]
    for driver in drivers:
        driver.look()
    for task, found in enumerate(("RUNNING", "FAILED", "PENDING", "COMPLETED")):
        slurm.set_state(f"100_{task}", found)
    read = [driver._read(job.id, fresh=True) for driver in drivers]
    # Both decide on what they have seen.
    starts = [[Start(job, ["grid"], one.attempt, {1: {"crash": 1}})] for one in read]
    for driver, mine in zip(drivers, starts, strict=True):
        driver._start(mine)
    for driver in drivers:
        (seen,) = driver.look()
        assert [entry.id for _, entry in sorted(seen.entries.items())] == ["100_0", "101", "100_2", "100_3"]
        assert seen.entries[1].tries == {"crash": 1}
    assert len(slurm.scripts) == 2


def test_who_killed_a_process_does_not_come_before_those_that_waited_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [Cell("vit_demo", f"random:r={r}", "motion", "2x3", "top1") for r in (1, 2, 3)]
    planner = make_planner(tmp_path)
    plan = make_plan([make_table(cells)], planner, (), fuse=False)
    runs, ids = tmp_path / "runs", [job.id for job in plan.jobs]
    gone = {"host": socket.gethostname(), "created": 1.0}
    for job in plan.jobs:
        put_job(runs, job, executor="local", id=str(os.getpid()), name=f"all-of-{job.id}", **gone)
    put_progress(runs, ids[0], submission=f"all-of-{ids[0]}", **mine(pid_created=1.0))
    started: list[str] = []

    def start(starts: Any, *_: Any) -> Sent:
        started.extend(one.job.id for one in starts)
        return Sent(len(starts))

    monkeypatch.setattr(watch, "start_tasks", start)
    Watch(plan, planner.profile, runs).look()
    assert started == [ids[1], ids[2], ids[0]]


def test_a_busy_slurm_is_borne_for_a_while(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.put("hold")
    slurm.put("5.sh")
    slurm.put("5.state", "FAILED")
    monkeypatch.setattr(cluster, "AGAIN_S", 0)
    plan, planner, runs = planned(tmp_path, executor="slurm", tasks=1)
    (job,) = plan.jobs
    put_job(runs, job, executor="slurm", id="5", time=OLD)
    slurm.put("busy", str(cluster.SENDS))
    looking = Watch(plan, planner.profile, runs)
    looking.look()
    printed = capsys.readouterr()
    assert "SLURM: Socket timed out on send/recv" in printed.out
    assert printed.out.endswith("; trying again\n")
    assert printed.err == ""
    assert looking.open.keys() == {job.id}
    looking.look()
    assert [entry.id for entry in read_job(runs, job.id).entries.values()] == ["100"]
    assert read_job(runs, job.id).entries[0].tries == {"crash": 1}, "what was not sent does not count"
    slurm.put("busy", "1000")
    slurm.set_state("100", "FAILED")
    monkeypatch.setattr(watch, "SILENT_S", -1.0)
    with pytest.raises(ValueError, match="cannot submit to SLURM: Socket timed out"):
        looking.look()


def test_a_silent_slurm_is_not_waited_for_for_ever(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("squeue_down", "sacct_down"):
        slurm.put(name)
    monkeypatch.setattr(watch, "LOOK_S", 0.02)
    monkeypatch.setattr(watch, "SILENT_S", 1.0)
    plan, planner, runs = planned(tmp_path, executor="slurm", tasks=1)
    put_job(runs, plan.jobs[0], executor="slurm", id="5", time=OLD)
    with pytest.raises(ValueError, match=r"SLURM has not answered for \d+ min; its jobs may still be running: run"):
        watch.wait(plan, planner.profile, runs)


def test_what_another_driver_left_half_submitted_is_looked_up_before_it_is_sent_again(
    tmp_path: Path, slurm: Slurm
) -> None:
    plan, planner, runs = planned(tmp_path, executor="slurm", tasks=1)
    (job,) = plan.jobs
    slurm.put("5.sh", "#SBATCH --job-name='grid~12345678'\n")
    slurm.set_state("5", "RUNNING")
    put_job(runs, job, executor="slurm", id=None, time=OLD, slurm_name="grid~12345678")
    looking = Watch(plan, planner.profile, runs)
    for _ in range(2):
        (seen,) = looking.look()
    assert (state_of(seen), seen.entries[0].id, seen.attempt) == ("queued", "5", 1)
    assert len(slurm.scripts) == 1


KILL_ONCE = """
import os, signal, sys, threading, time
from pathlib import Path

def kill_once(folder):
    while not list(folder.glob("runs/jobs/*/progress-*.json")):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

folder = Path(os.environ["KILL_ONCE"])
if any("submitit.core._submit" in word for word in sys.orig_argv):
    try:
        (folder / "once").touch(exist_ok=False)
        threading.Thread(target=kill_once, args=(folder,), daemon=True).start()
    except FileExistsError:
        pass
"""


def test_a_task_that_was_killed_once_gives_the_same_table_and_the_record_tells_of_it(
    tmp_path: Path, slurm: Slurm, swept: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(KILL_ONCE)
    monkeypatch.setenv("KILL_ONCE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    slurm.put("failed_as", "OUT_OF_MEMORY")
    place = Place(tmp_path, executor="slurm", tasks=1, cpus_per_task=2)
    done = place.sweep()
    assert (done.returncode, done.stderr) == (0, "")
    (job,) = (read_job(place.runs, path.name) for path in (place.runs / "jobs").iterdir())
    why = f"it ran out of memory on {socket.gethostname()}"
    assert f"job {job.id} (grid) started again: {why}\n" in done.stdout
    assert len(slurm.scripts) == 2
    assert job.attempt == 2
    assert job.tasks[0].restarts == 1
    assert [cell["value"] for cell in place.cells(capsys)] == [cell["value"] for cell in swept.cells(capsys)]
    for record in read_records(place.runs)[0]:
        (ended,) = record.provenance["ended"]
        assert (ended["attempt"], ended["task"], ended["how"], ended["text"]) == (1, 0, "crash", why)
