"""Which tasks are started again, by how they ended: crashes and time-outs as often as the profile says, preemptions
always, what is the user's to mend or wish never."""

import dataclasses
import os
import pwd
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.profiles import Launch
from harness.running import queue
from harness.running.queue import state_of
from harness.running.retries import again, verdicts, why
from jobs.spec.cells import Cell
from jobs.spec.jobs import Evaluate, Train
from results.attempts import write_ended
from results.progress import job_folder, read_job
from tests.harness.made import make_planner, put_attempt, put_job, put_progress

LAUNCH = Launch(executor="slurm", retries=2, timeouts=3, mem_gb=40, time_min=720)
OLD = "2026-01-01T00:00:00.000+00:00"
USER = pwd.getpwuid(os.getuid()).pw_name

Says = Callable[..., None]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Has SLURM say of each job and array task the state given for it; of what is not given, that it is unknown."""
    monkeypatch.setattr(queue, "POLL_S", 0)
    monkeypatch.setattr(queue, "COST", 0)

    def say(states: dict[str, str]) -> None:
        rows = "".join(f"{job}|{state}|node1|1:0\n" for job, state in states.items())
        queued = "".join(f"{job}|{state}|node1|None\n" for job, state in states.items() if state in queue.WAITING)
        answers = {"sacct": f"JobID|State|NodeList|ExitCode\n{rows}", "squeue": queued}
        monkeypatch.setattr(queue, "answer", lambda command, *_: answers[command])

    say({})
    return say


def evaluation(folder: Path, tasks: int = 1) -> Evaluate:
    job = make_planner(folder).job([Cell("vit_demo", "none", "motion", "2x3", "top1")])
    assert isinstance(job, Evaluate)
    put_job(folder, job, tasks)
    return job


def training(folder: Path) -> Train:
    job = make_planner(folder).job([Cell("vit_demo", "none", "motion", "", "train_hours")])
    assert isinstance(job, Train)
    put_job(folder, job, tasks=2)
    return job


def how(runs: Path, job_id: str, launch: Launch = LAUNCH) -> list[tuple[int, str, str]]:
    return [(task, one.how, one.text) for task, one in verdicts(read_job(runs, job_id), launch).items()]


def restarted(runs: Path, job_id: str, **changes: Any) -> dict[int, dict[str, int]]:
    launch = dataclasses.replace(LAUNCH, **changes)
    job = read_job(runs, job_id)
    return again(job, verdicts(job, launch), launch)


CRASHED, TIMED_OUT, UNCOUNTED = {"crash": 1}, {"timeout": 1}, dict[str, int]()


@pytest.mark.parametrize(
    ("found", "expected", "text", "tries"),
    [
        (
            "COMPLETED",
            "crash",
            "it ended without an error message: SLURM says COMPLETED with exit code 1:0 on node1",
            CRASHED,
        ),
        (
            "FAILED",
            "crash",
            "it ended without an error message: SLURM says FAILED with exit code 1:0 on node1",
            CRASHED,
        ),
        (
            "BOOT_FAIL",
            "crash",
            "it ended without an error message: SLURM says BOOT_FAIL with exit code 1:0 on node1",
            CRASHED,
        ),
        ("OUT_OF_MEMORY", "crash", "it ran out of memory on node1 (launch.mem_gb = 40)", CRASHED),
        ("NODE_FAIL", "crash", "its node failed on node1", CRASHED),
        ("TIMEOUT", "timeout", "it reached its time limit of 60 min on node1", TIMED_OUT),
        ("DEADLINE", "timeout", "it reached its time limit of 60 min on node1", TIMED_OUT),
        ("PREEMPTED", "preempted", "it was preempted on node1", UNCOUNTED),
        (f"CANCELLED by {os.getuid()}", "cancelled", f"cancelled in SLURM by {USER}", None),
        ("CANCELLED by 4123456", "cancelled", "cancelled in SLURM by user 4123456", None),
        ("CANCELLED", "cancelled", "cancelled in SLURM", None),
    ],
)
def test_a_task_that_left_no_word_ended_as_slurm_says(
    tmp_path: Path, says: Says, found: str, expected: str, text: str, tries: dict[str, int] | None
) -> None:
    job = evaluation(tmp_path)
    put_attempt(tmp_path, job.id, [0], "slurm", "7", time=OLD, time_min=60)
    says({"7": found})
    assert how(tmp_path, job.id) == [(0, expected, text)]
    assert restarted(tmp_path, job.id) == ({} if tries is None else {0: tries})


@pytest.mark.parametrize("found", ["PENDING", "RUNNING", "REQUEUED", "SUSPENDED", "COMPLETING", "REQUEUE_HOLD"])
def test_what_slurm_still_has_is_left_alone(tmp_path: Path, says: Says, found: str) -> None:
    job = evaluation(tmp_path)
    name = put_attempt(tmp_path, job.id, [0], "slurm", "7", time=OLD)
    says({"7": found})
    assert how(tmp_path, job.id) == []
    put_progress(tmp_path, job.id, state="stopped", submission=name, error="asked to stop (SIGTERM)")
    assert how(tmp_path, job.id) == [], "it will go on"


USR2, TERM = "asked to stop (SIGUSR2); it goes on", "asked to stop (SIGTERM); it goes on"


@pytest.mark.parametrize(
    ("progress", "found", "expected", "text", "tries"),
    [
        ({"state": "failed", "error": "no such model"}, "FAILED", "error", "no such model", None),
        ({"state": "failed", "error": "No space left", "retry": True}, "FAILED", "crash", "No space left", CRASHED),
        ({"state": "cancelled", "error": "cancelled"}, "FAILED", "cancelled", "cancelled", None),
        ({"state": "stopped", "error": TERM}, "PREEMPTED", "preempted", "it was preempted on gpu3", UNCOUNTED),
        ({"state": "stopped", "error": TERM}, "NODE_FAIL", "crash", "its node failed on gpu3", CRASHED),
        ({"state": "stopped", "error": TERM}, "FAILED", "crash", TERM, CRASHED),
        ({"state": "stopped", "error": USR2}, "FAILED", "timeout", USR2, TIMED_OUT),
        ({"state": "stopped", "error": USR2}, "", "timeout", USR2, TIMED_OUT),
        ({"state": "stopped", "error": TERM}, "CANCELLED", "cancelled", "cancelled in SLURM", None),
        ({"state": "running"}, "OUT_OF_MEMORY", "crash", "it ran out of memory on gpu3 (launch.mem_gb = 40)", CRASHED),
        ({"state": "running"}, "", "crash", "SLURM no longer knows it, and it left no error message", CRASHED),
    ],
)
def test_what_a_task_said_before_its_end_counts(
    tmp_path: Path,
    says: Says,
    progress: dict[str, Any],
    found: str,
    expected: str,
    text: str,
    tries: dict[str, int] | None,
) -> None:
    job = evaluation(tmp_path)
    name = put_attempt(tmp_path, job.id, [0], "slurm", "7", time=OLD)
    put_progress(tmp_path, job.id, submission=name, node="gpu3", updated=OLD, **progress)
    says({"7": found} if found else {})
    assert how(tmp_path, job.id) == [(0, expected, text)]
    assert restarted(tmp_path, job.id) == ({} if tries is None else {0: tries})


def test_what_an_earlier_attempt_said_does_not_count(tmp_path: Path, says: Says) -> None:
    job = evaluation(tmp_path)
    name = put_attempt(tmp_path, job.id, [0], "slurm", "7", time=OLD)
    put_progress(tmp_path, job.id, submission=name, state="failed", error="no such model", node="gpu3")
    put_attempt(tmp_path, job.id, [0], "slurm", "8", time=OLD)
    says({"7": "FAILED", "8": "NODE_FAIL"})
    assert how(tmp_path, job.id) == [(0, "crash", "its node failed on node1")]


@pytest.mark.parametrize(
    ("tries", "found", "retries", "timeouts", "expected"),
    [
        ({}, "FAILED", 0, 3, None),
        ({}, "FAILED", 1, 0, {"crash": 1}),
        ({"crash": 1}, "FAILED", 2, 3, {"crash": 2}),
        ({"crash": 2}, "FAILED", 2, 3, None),
        ({"crash": 2}, "TIMEOUT", 2, 3, {"crash": 2, "timeout": 1}),
        ({"timeout": 3}, "TIMEOUT", 2, 3, None),
        ({"timeout": 3}, "FAILED", 2, 3, {"crash": 1, "timeout": 3}),
        ({"crash": 2}, "PREEMPTED", 2, 3, {"crash": 2}),
        ({"crash": 2, "timeout": 3}, "PREEMPTED", 2, 3, {"crash": 2, "timeout": 3}),
        ({}, "PREEMPTED", 0, 0, {}),
    ],
)
def test_crashes_and_time_outs_have_limits_of_their_own(
    tmp_path: Path,
    says: Says,
    tries: dict[str, int],
    found: str,
    retries: int,
    timeouts: int,
    expected: dict[str, int] | None,
) -> None:
    job = evaluation(tmp_path)
    put_attempt(tmp_path, job.id, [0], "slurm", "7", tries={0: tries}, time=OLD)
    says({"7": found})
    found_tries = restarted(tmp_path, job.id, retries=retries, timeouts=timeouts)
    assert found_tries == ({} if expected is None else {0: expected})


def test_what_never_came_to_be_is_sent_again_uncounted(tmp_path: Path, says: Says) -> None:
    job = evaluation(tmp_path, tasks=3)
    put_attempt(tmp_path, job.id, [0], "slurm", "", tries={0: {"crash": 2}})
    put_attempt(tmp_path, job.id, [1], "slurm", None, time=OLD)
    assert [(task, one) for task, one, _ in how(tmp_path, job.id)] == [(0, "void"), (1, "void"), (2, "void")]
    assert restarted(tmp_path, job.id, retries=2) == {0: {"crash": 2}, 1: {}, 2: {}}


def test_only_the_tasks_that_died_are_started_again_while_others_run_wait_or_are_done(
    tmp_path: Path, says: Says
) -> None:
    job = evaluation(tmp_path, tasks=6)
    name = put_attempt(tmp_path, job.id, range(6), "slurm", "7", tries={4: {"crash": 1}}, time=OLD)
    put_progress(tmp_path, job.id, 0, state="done", submission=name)
    put_progress(tmp_path, job.id, 1, submission=name)  # on another host, a moment ago
    put_progress(tmp_path, job.id, 3, state="failed", error="No space left", retry=True, submission=name)
    put_progress(tmp_path, job.id, 5, state="done", submission="an earlier one")
    says({"7_0": "COMPLETED", "7_1": "RUNNING", "7_2": "PENDING", "7_3": "FAILED", "7_4": "NODE_FAIL", "7_5": "FAILED"})
    assert state_of(read_job(tmp_path, job.id)) == "running"
    assert restarted(tmp_path, job.id) == {3: {"crash": 1}, 4: {"crash": 2}, 5: {"crash": 1}}
    assert restarted(tmp_path, job.id, retries=1) == {}, "one that may not be would be missing at the end"


@pytest.mark.parametrize("end", [{"error": "no such model"}, {"state": "cancelled", "error": "cancelled"}])
def test_no_task_of_a_job_is_started_again_that_cannot_come_to_its_end(
    tmp_path: Path, says: Says, end: dict[str, str]
) -> None:
    job = evaluation(tmp_path, tasks=2)
    name = put_attempt(tmp_path, job.id, [0, 1], "slurm", "7", time=OLD)
    put_progress(tmp_path, job.id, 0, **({"state": "failed", "submission": name} | end))
    says({"7_0": "FAILED", "7_1": "NODE_FAIL"})
    assert len(how(tmp_path, job.id)) == 2
    assert restarted(tmp_path, job.id) == {}


def test_a_job_that_is_to_stop_is_not_started_again(tmp_path: Path, says: Says) -> None:
    job = evaluation(tmp_path)
    put_attempt(tmp_path, job.id, [0], "slurm", "7", time=OLD)
    says({"7": "FAILED"})
    assert restarted(tmp_path, job.id) == {0: {"crash": 1}}
    (job_folder(tmp_path, job.id) / "cancelled").write_text("{}")
    assert restarted(tmp_path, job.id) == {}


def test_a_gang_starts_again_as_a_whole_once_all_of_it_has_ended(tmp_path: Path, says: Says) -> None:
    job = training(tmp_path)
    tries = {0: {"crash": 1}, 1: {"crash": 1}}
    name = put_attempt(tmp_path, job.id, [0, 1], "slurm", "7", kind="gang", tries=tries, time=OLD)
    put_progress(tmp_path, job.id, 0, state="failed", retry=True, submission=name, error="out of memory")
    put_progress(tmp_path, job.id, 1, submission=name)
    says({"7": "FAILED"})
    assert restarted(tmp_path, job.id) == {}, "one of its processes still runs"
    put_progress(tmp_path, job.id, 1, state="done", submission=name)
    assert restarted(tmp_path, job.id) == {0: {"crash": 2}, 1: {"crash": 2}}
    assert restarted(tmp_path, job.id, retries=1) == {}


def test_a_gang_counts_the_process_that_failed_most(tmp_path: Path, says: Says) -> None:
    job = training(tmp_path)
    tries = {0: {"timeout": 1}, 1: {"crash": 2}}
    put_attempt(tmp_path, job.id, [0, 1], "slurm", "7", kind="gang", tries=tries, time=OLD)
    says({"7": "TIMEOUT"})
    assert restarted(tmp_path, job.id) == {rank: {"crash": 2, "timeout": 2} for rank in (0, 1)}


def test_a_local_task_that_died_is_started_again(tmp_path: Path) -> None:
    job = evaluation(tmp_path, tasks=2)
    process = {"host": socket.gethostname(), "created": 1.0}
    me = psutil.Process()
    name = put_attempt(tmp_path, job.id, [0, 1], "local", str(os.getpid()), **process)
    put_progress(tmp_path, job.id, 0, submission=name, host=socket.gethostname(), pid=me.pid, pid_created=1.0)
    put_progress(tmp_path, job.id, 1, state="stopped", submission=name, error=USR2, host=socket.gethostname())
    found = how(tmp_path, job.id)
    assert found == [
        (0, "crash", "its process ended without an error message (killed, or out of memory?)"),
        (1, "timeout", USR2),
    ]
    assert restarted(tmp_path, job.id) == {0: {"crash": 1}, 1: {"timeout": 1}}


def test_a_job_whose_tasks_are_done_and_that_has_no_records_tries_one_of_them_again(tmp_path: Path, says: Says) -> None:
    job = evaluation(tmp_path, tasks=2)
    name = put_attempt(tmp_path, job.id, [0, 1], "slurm", "7", time=OLD)
    for task in (0, 1):
        put_progress(tmp_path, job.id, task, state="done", submission=name)
    says({"7_0": "COMPLETED", "7_1": "COMPLETED"})
    assert how(tmp_path, job.id) == [(0, "crash", "all of its tasks ended without writing the records")]


def test_a_silent_slurm_says_of_nothing_that_it_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "answer", lambda *_: None)
    job = evaluation(tmp_path)
    put_attempt(tmp_path, job.id, [0], "slurm", "7", time=OLD)
    assert how(tmp_path, job.id) == []


def test_a_noted_reason_outlives_slurms_memory(tmp_path: Path, says: Says) -> None:
    job = evaluation(tmp_path, tasks=2)
    put_attempt(tmp_path, job.id, [0, 1], "slurm", "7", tries={1: {"crash": 2}}, time=OLD)
    says({"7_0": "COMPLETED", "7_1": "OUT_OF_MEMORY"})
    for task, one in verdicts(read_job(tmp_path, job.id), LAUNCH).items():
        write_ended(tmp_path, job.id, 1, task, one.noted())
    says({})
    found = read_job(tmp_path, job.id)
    assert found.ended[1][1] == {
        "how": "crash",
        "text": "it ran out of memory on node1 (launch.mem_gb = 40)",
        "node": "node1",
    }
    assert why(found, Launch()).endswith("; 3 tries")


@pytest.mark.parametrize("late", ["RUNNING", "COMPLETING"])
@pytest.mark.parametrize("tasks", [1, 2])
def test_a_tasks_own_word_comes_before_slurm_which_ends_jobs_late(
    tmp_path: Path, says: Says, late: str, tasks: int
) -> None:
    job = evaluation(tmp_path, tasks=tasks)
    name = put_attempt(tmp_path, job.id, range(tasks), "slurm", "7")
    says({"7": late} | {f"7_{task}": late for task in range(tasks)})
    for task in range(tasks):
        put_progress(tmp_path, job.id, task, state="failed", error="a web page", retry=False, submission=name)
    assert how(tmp_path, job.id) == [(task, "error", "a web page") for task in range(tasks)]
    assert restarted(tmp_path, job.id) == {}
    assert why(read_job(tmp_path, job.id), LAUNCH) == "a web page"
    write_ended(tmp_path, job.id, 1, 0, {"how": "crash", "text": "all of its tasks ended without writing the records"})
    assert why(read_job(tmp_path, job.id), LAUNCH) == "a web page", "also where a driver has noted something else"
    assert restarted(tmp_path, job.id) == {}


def test_what_another_try_may_mend_is_tried_again_though_slurm_is_late(tmp_path: Path, says: Says) -> None:
    job = evaluation(tmp_path)
    name = put_attempt(tmp_path, job.id, range(1), "slurm", "7")
    says({"7": "COMPLETING"})
    put_progress(tmp_path, job.id, state="failed", error="No space left on device", retry=True, submission=name)
    assert restarted(tmp_path, job.id) == {0: CRASHED}
