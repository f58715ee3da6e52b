"""Progress tells a running task from one that was killed, and never trusts a damaged file."""

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from results import progress, progress_writer
from results.attempts import claim, write_ended
from results.files import read_json, write_json
from results.progress import job_folder, read_progress
from results.progress_writer import ProgressWriter


def declare(runs, job_id="job", tasks=1, submitted=True):
    write_json(job_folder(runs, job_id) / "job.json", {"id": job_id, "kind": "evaluate", "tasks": tasks})
    if submitted:
        claim(runs, job_id, 1, range(tasks), "submission", "2026-01-01T00:00:00+00:00", {})


def put(runs, task=0, job_id="job", **content):
    me = psutil.Process()
    here = {"host": socket.gethostname(), "pid": me.pid, "pid_created": me.create_time(), "state": "running"}
    path = job_folder(runs, job_id) / f"progress-{task}.json"
    write_json(path, here | content)
    return path


def stamp(age):
    return (datetime.now(UTC) - age).isoformat()


def only(runs):
    (job,) = read_progress(runs)
    return job


def test_no_jobs(tmp_path):
    assert read_progress(tmp_path / "nowhere") == []


def test_the_life_of_a_task(tmp_path):
    declare(tmp_path, submitted=False)
    assert only(tmp_path).state == "pending"
    declare(tmp_path)
    assert only(tmp_path).state == "submitted"
    writer = ProgressWriter(tmp_path, "job")
    assert only(tmp_path).state == "running"
    writer._written -= 2
    writer.update(3, 10, "loss 1.2")
    job = only(tmp_path)
    assert job.text == "loss 1.2"
    assert (job.state, job.done, job.total, job.tasks[0].restarts) == ("running", 3, 10, 0)
    assert job.job["kind"] == "evaluate"
    assert (job.attempt, job.entries[0].name) == (1, "submission")
    writer.finish()
    writer.update(4, 10)
    job = only(tmp_path)
    assert (job.state, job.done, job.total) == ("done", 10, 10)


@pytest.mark.parametrize(
    ("end", "state", "error", "retry"),
    [
        (lambda writer: writer.fail("too many unreadable videos"), "failed", "too many unreadable videos", False),
        (lambda writer: writer.fail("no space left", retry=True), "failed", "no space left", True),
        (lambda writer: writer.cancel(), "cancelled", "cancelled", False),
        (lambda writer: writer.stop("asked to stop"), "stopped", "asked to stop", False),
    ],
    ids=["failed", "may do better", "cancelled", "stopped"],
)
def test_an_end_other_than_done_carries_its_message(tmp_path, end, state, error, retry):
    declare(tmp_path)
    end(ProgressWriter(tmp_path, "job"))
    job = only(tmp_path)
    assert (job.state, job.error, job.tasks[0].retry) == (state, error, retry)


def test_time_outs_are_counted_within_a_submission(tmp_path):
    for submission, timeouts in (("one", 1), ("one", 2), ("two", 1)):
        writer = ProgressWriter(tmp_path, "job", submission=submission)
        writer.stop("asked to stop", timed_out=True)
        assert (only(tmp_path).tasks[0].timeouts, only(tmp_path).tasks[0].submission) == (timeouts, submission)
    ProgressWriter(tmp_path, "job", submission="two").stop("asked to stop")
    assert only(tmp_path).tasks[0].timeouts == 1, "preempted"


def test_what_a_driver_found_out_is_the_reason_rather_than_what_a_task_said(tmp_path):
    declare(tmp_path)
    put(tmp_path, state="stopped", error="asked to stop (SIGTERM)")
    write_ended(tmp_path, "job", 1, 0, {"how": "crash", "text": "its node failed", "node": "node1"})
    job = only(tmp_path)
    assert job.error == "its node failed"
    assert job.ended == {1: {0: {"how": "crash", "text": "its node failed", "node": "node1"}}}
    claim(tmp_path, "job", 2, [0], "another", "2026-01-01T00:01:00+00:00", {})
    assert only(tmp_path).error == "asked to stop (SIGTERM)", "that was of an earlier attempt"


def test_whether_the_user_wants_it_to_stop(tmp_path):
    declare(tmp_path)
    assert not only(tmp_path).cancelled
    write_json(job_folder(tmp_path, "job") / "cancelled", {})
    assert only(tmp_path).cancelled


def test_of_a_gang_the_one_that_others_failed_for_says_why(tmp_path):
    declare(tmp_path, tasks=3)
    for task, error in enumerate((f"{progress.PEER_LOST}, so …", "the loss is nan", "the loss is inf")):
        put(tmp_path, task, state="failed", error=error, updated=f"2026-01-01T00:00:0{task}+00:00")
    assert only(tmp_path).error == "the loss is nan"


def test_a_restart_counts_and_keeps_how_far_it_was(tmp_path):
    for restarts in range(3):
        writer = ProgressWriter(tmp_path, "job", task=1)
        assert only(tmp_path).tasks[1].restarts == restarts
        writer._written -= 2
        writer.update(restarts + 5, 9)
        writer.fail("killed")
    task = only(tmp_path).tasks[1]
    assert (task.restarts, task.done, task.total) == (2, 7, 9)


def test_updates_reach_the_file_once_a_second_at_most(tmp_path, monkeypatch):
    writes = []
    real = progress_writer.write_json
    monkeypatch.setattr(progress_writer, "write_json", lambda *args: (writes.append(args), real(*args)))
    writer = ProgressWriter(tmp_path, "job")
    clock = writer._written
    monkeypatch.setattr(progress_writer.time, "monotonic", lambda: clock)
    for step in range(500):
        clock += 0.03  # 34 of these make a second
        writer.update(step, 500)
    writer.finish()
    assert len(writes) == 1 + 500 // 34 + 1


def test_a_long_step_still_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(progress_writer, "HEARTBEAT_S", 0.01)
    writer = ProgressWriter(tmp_path, "job")
    first = read_json(writer.path)["updated"]
    for _ in range(1000):
        if read_json(writer.path)["updated"] != first:
            break
        writer._ended.wait(0.01)
    assert read_json(writer.path)["updated"] > first
    writer.finish()
    assert only(tmp_path).state == "done"


def test_a_full_disk_does_not_stop_the_work(tmp_path, monkeypatch):
    writer = ProgressWriter(tmp_path, "job")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(progress_writer, "write_json", full)
    writer._written -= 2
    writer.update(1, 2)
    with pytest.raises(OSError, match="No space"):
        writer.finish()


def test_kill_9_turns_running_into_lost(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom results.progress_writer import ProgressWriter\n"
        "ProgressWriter(Path(sys.argv[1]), 'job').update(1, 4)\nprint('up', flush=True)\ntime.sleep(600)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "up\n"
        assert only(tmp_path).state == "running"
        os.kill(worker.pid, signal.SIGKILL)
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        # Still a zombie: its id exists, but nothing runs.
        assert only(tmp_path).state == "lost"
    finally:
        worker.kill()
        worker.communicate()
    assert only(tmp_path).state == "lost"


@pytest.mark.parametrize(
    ("content", "state"),
    [
        ({}, "running"),
        ({"pid_created": 1.0}, "lost"),
        ({"pid_created": "soon"}, "lost"),
        ({"pid": 2**70}, "lost"),
        ({"host": "elsewhere"}, "running"),
        ({"state": "exploded"}, "submitted"),
        ({"done": "many", "total": -1, "error": None, "slurm": 3}, "running"),
    ],
)
def test_alive_or_lost(tmp_path, content, state):
    declare(tmp_path)
    put(tmp_path, **content)
    assert only(tmp_path).state == state


@pytest.mark.parametrize(("age", "state"), [(60, "running"), (600, "lost"), (-(10**9), "lost")])
@pytest.mark.parametrize("said", [timedelta(0), timedelta(hours=9), timedelta(hours=-9)])
def test_a_task_elsewhere_is_alive_by_the_clock_of_the_file_system(tmp_path, age, said, state):
    declare(tmp_path)
    path = put(tmp_path, host="elsewhere", updated=stamp(said))
    written = time.time() - age
    os.utime(path, (written, written))
    assert only(tmp_path).state == state


@pytest.mark.parametrize(
    ("states", "folded"),
    [
        (["done", "done"], "done"),
        (["done", "running"], "running"),
        (["done", "failed"], "failed"),
        (["running", "failed"], "failed"),
        (["running", "cancelled"], "cancelled"),
        (["failed", "cancelled"], "failed"),
        (["stopped", "running"], "running"),
        (["stopped", "lost"], "lost"),
        (["stopped", "done"], "stopped"),
        (["done", "lost"], "lost"),
        (["running", "lost"], "running"),
        (["done", None], "submitted"),
        ([None, None], "submitted"),
    ],
)
def test_a_job_is_folded_from_its_tasks(tmp_path, states, folded):
    declare(tmp_path, tasks=len(states))
    for task, state in enumerate(states):
        if state == "lost":
            put(tmp_path, task, pid_created=1.0)
        elif state:
            put(tmp_path, task, state=state)
    job = only(tmp_path)
    assert job.state == folded
    assert [task.state for task in job.tasks] == [state or "pending" for state in states]


def test_missing_and_damaged_files_count_as_not_there(tmp_path):
    declare(tmp_path)
    (job_folder(tmp_path, "job") / "progress-0.json").write_text('{"state": "run')
    (job_folder(tmp_path, "bare")).mkdir()
    put(tmp_path, task=2, job_id="lone")
    (job_folder(tmp_path, "wild")).mkdir()
    write_json(job_folder(tmp_path, "wild") / "job.json", {"tasks": 10**12})
    (tmp_path / "jobs" / "stray.txt").write_text("")
    found = {job.id: (job.state, len(job.tasks)) for job in read_progress(tmp_path)}
    assert found == {
        "bare": ("pending", 1),
        "job": ("submitted", 1),
        "lone": ("running", 3),
        "wild": ("pending", 1),
    }
