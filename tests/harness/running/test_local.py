"""Tasks as processes of this machine: who shares it, who waits for whom, and what the processes see."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.running import launch, local
from harness.running.processes import processes
from results.attempts import Submission, submission_folder
from results.files import write_json
from results.progress import job_folder
from tests.harness.made import put_attempt, put_progress
from tests.harness.running.test_launch import COUNT, EVALUATE, TIMING, entries, planned


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[Submission]:
    """The local submissions, of which none starts anything: all became this very process."""
    found: list[Submission] = []
    monkeypatch.setattr(local, "_submitit", lambda submission, *_: found.append(submission) or os.getpid())
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(2))
    return found


def waiting(submissions: list[Submission]) -> list[tuple[list[tuple[str, int]], list[tuple[int, float]]]]:
    """The tasks of each submission, and what it waits for."""
    return [(list(one.units), list(one.after)) for one in submissions]


def test_local_tasks_share_as_many_processes_as_there_are_cores(tmp_path: Path, submitted: list[Submission]) -> None:
    plan, profile, runs = planned(tmp_path, COUNT, EVALUATE, tasks=3)
    count, evaluate = (job.id for job in plan.jobs)
    assert launch.submit(plan, profile, runs).tasks == 4
    assert waiting(submitted) == [([(count, 0), (evaluate, 1)], []), ([(evaluate, 0), (evaluate, 2)], [])]
    assert [one.lane for one in submitted] == [0, 1]


def test_a_timing_waits_for_everybody_and_everybody_for_a_timing(tmp_path: Path, submitted: list[Submission]) -> None:
    plan, profile, runs = planned(tmp_path, COUNT, TIMING)
    count, timing = (job.id for job in plan.jobs)
    me = (os.getpid(), psutil.Process().create_time())
    mine = {"host": socket.gethostname(), "pid": me[0], "pid_created": me[1]}
    launch.submit(plan, profile, runs)
    assert waiting(submitted) == [([(count, 0)], []), ([(timing, 0)], [me])]

    # Another sweep's task runs: the timing waits for it too, the count does not.
    submitted.clear()
    plan, profile, runs = planned(tmp_path / "other", COUNT, TIMING)
    write_json(job_folder(runs, "other") / "job.json", {"kind": "evaluate", "tasks": 1})
    put_progress(runs, "other", **mine)
    launch.submit(plan, profile, runs)
    assert waiting(submitted) == [([(count, 0)], []), ([(timing, 0)], [me, me])]

    # It is a timing: both wait.
    submitted.clear()
    plan, profile, runs = planned(tmp_path / "timing", COUNT, TIMING)
    write_json(job_folder(runs, "other") / "job.json", {"kind": "measure", "tasks": 1})
    put_progress(runs, "other", **mine)
    assert processes(runs) == {me: (True, f"process {me[0]}")}
    launch.submit(plan, profile, runs)
    assert waiting(submitted) == [([(count, 0)], [me]), ([(timing, 0)], [me, me])]


def test_each_local_process_has_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(16))
    monkeypatch.setattr("submitit.LocalExecutor.update_parameters", lambda _, **one: given.append(one["visible_gpus"]))
    monkeypatch.setattr("submitit.LocalExecutor.submit", lambda *_: type("Job", (), {"job_id": str(os.getpid())}))
    plan, profile, runs = planned(tmp_path, EVALUATE, tasks=9, gpus_per_task=1)
    launch.submit(plan, profile, runs)
    assert given == [(3,), (5,)]
    noted = [one.submission.lane for one in entries(runs, plan.jobs[0].id) if one.submission]
    assert noted == [0, 1, 0, 1, 0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        ([1], [(0, []), (2, []), (3, [])]),
        ([0, 1, None], [(2, [])]),
        ([0, 3, 1, 2], [(0, [0, 1, 2, 3])]),
        ([0, 7, 8, None], [(0, [0, 1, 2, 3])]),
        ([2, 2, 2], [(0, []), (1, []), (3, [])]),
    ],
    ids=["one", "one unknown", "all", "lanes of another profile", "one busy, the others wait for it"],
)
def test_what_still_runs_here_keeps_its_lanes(
    tmp_path: Path,
    submitted: list[Submission],
    monkeypatch: pytest.MonkeyPatch,
    busy: list[int | None],
    expected: list[tuple[int, list[int]]],
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4))
    plan, profile, runs = planned(tmp_path, EVALUATE, tasks=4)
    with contextlib.ExitStack() as stack:
        others = []
        for number, lane in enumerate(busy):
            child = stack.enter_context(subprocess.Popen(["sleep", "60"]))
            stack.callback(child.kill)
            others.append((child.pid, psutil.Process(child.pid).create_time()))
            process = {"id": str(child.pid), "host": socket.gethostname(), "created": others[-1][1]}
            put_attempt(runs, f"other{number}", [0], "local", lane=lane, **process)
            write_json(job_folder(runs, f"other{number}") / "job.json", {"kind": "evaluate", "tasks": 1})
            # Where there is a setup, this is the shell, and the task reports what the shell has started.
            me = {"pid": os.getpid(), "pid_created": psutil.Process().create_time()}
            if lane is not None and number == 0:
                put_progress(runs, "other0", host=socket.gethostname(), **me)
        alive = list(processes(runs))
        launch.submit(plan, profile, runs)
    assert [one.lane for one in submitted] == [lane for lane, _ in expected]
    for one, (_, wanted) in zip(submitted, expected, strict=True):
        assert list(one.after) == (alive if wanted else [])
        assert {others[number] for number in wanted} <= set(one.after)
    assert sorted(unit for one in submitted for unit in one.units) == [(plan.jobs[0].id, k) for k in range(4)]


def test_a_local_process_really_runs_and_lets_go_of_our_output(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from harness.running import launch
from harness.running import local
from tests.harness.running.test_launch import COUNT, planned
setup = ["until [ -e go ]; do sleep 0.1; done", "echo made ready", "false"]
plan, profile, runs = planned(Path({str(tmp_path)!r}), COUNT, setup=setup)
print(launch.submit(plan, profile, runs).tasks, plan.jobs[0].id)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
    tasks, job_id = done.stdout.split()
    assert tasks == "1"
    (entry,) = entries(tmp_path / "runs", job_id)
    process = psutil.Process(int(entry.id))
    assert entry.started
    assert process.create_time() == pytest.approx(entry.started.created)
    (tmp_path / "go").touch()
    psutil.wait_procs([process], timeout=30)
    assert (submission_folder(tmp_path / "runs", entry.name) / "process.log").read_text() == "made ready\n"
