"""Drivers that are killed while they submit, or are two: what SLURM has is gone on with, nothing is sent twice."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import sweep
from harness.running import adoption, launch
from harness.running.adoption import Busy, adopt, find
from harness.running.launch import submit
from harness.running.queue import state_of
from harness.running.slurm import cluster
from jobs.run import run_submission
from results.attempts import Started, Submission, read_started, submission_folder, write_started, write_submission
from results.progress import JobProgress, read_progress
from tests.harness.conftest import Slurm
from tests.harness.place import Place
from tests.harness.running.test_launch import COUNT, EVALUATE, entries, planned


def ids(jobs: list[JobProgress]) -> list[str]:
    return [entry.id for job in jobs for entry in job.entries.values()]


def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody knows of is given up after a second."""
    for module in (adoption, launch):
        monkeypatch.setattr(module, "LOOK_S", 0.05)
    monkeypatch.setitem(adoption.SETTLE_S, "slurm", 1.0)


@pytest.mark.parametrize(
    ("place", "scripts"),
    [
        ("harness.running.submission.write_submission", 0),
        ("harness.running.slurm.cluster._sbatch", 0),
        ("harness.running.slurm.cluster.note_started", 1),
        ("harness.running.adoption.write_started", 1),
    ],
    ids=["attempt noted", "submission noted", "sent", "sent, its calls in place"],
)
def test_wherever_a_driver_is_killed_the_next_one_sends_what_is_missing_and_nothing_twice(
    tmp_path: Path,
    slurm: Slurm,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
    scripts: int,
) -> None:
    """Killed just before it would call what is at `place`."""
    slurm.put("hold")
    here = Place(tmp_path, executor="slurm", tasks=1)
    script = f"""
import os, sys
import {place.rpartition(".")[0]}
from harness import sweep
{place} = lambda *_: os.kill(os.getpid(), 9)
sweep.main({here.arguments("--no-wait", "--no-fuse")})
"""
    killed = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert len(slurm.scripts) == scripts
    before = read_progress(here.runs)
    assert [state_of(job) for job in before] == ["queued", "queued"], "it may be on its way"
    soon(monkeypatch)
    assert sweep.main(here.arguments("--no-wait", "--no-fuse")) == 0
    missing = 2 * (1 - scripts)
    assert f"{missing} tasks of 2 jobs on SLURM" in capsys.readouterr().out
    after = read_progress(here.runs)
    assert sorted(ids(after)) == ["100_0", "100_1"]
    assert [job.attempt for job in after] == [2 - scripts] * 2
    assert len(slurm.scripts) == 1


def test_the_tasks_of_an_adopted_array_find_their_call_and_run_to_the_end(
    tmp_path: Path, slurm: Slurm, swept: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.put("kill_driver", "after")
    place = Place(tmp_path, executor="slurm", tasks=1, parallel=2)
    assert place.sweep("--no-fuse").returncode == -9
    done = place.sweep("--no-fuse")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 tasks of 2 jobs on SLURM, 2 under way already" in done.stdout
    assert len(slurm.scripts) == 1
    jobs = read_progress(place.runs)
    assert (sorted(ids(jobs)), [job.attempt for job in jobs]) == (["100_0", "100_1"], [1, 1])
    assert [cell["value"] for cell in place.cells(capsys)] == [cell["value"] for cell in swept.cells(capsys)]


def test_a_local_process_whose_driver_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    # With a setup, the process is a shell until that is over.
    place = Place(tmp_path, setup=["until [ -e go ]; do sleep 0.1; done", "false"])
    script = f"""
import os, submitit
from harness import sweep
submitit.core.utils.JobPaths.move_temporary_file = lambda *_, **how: os.kill(os.getpid(), 9)
sweep.main({place.arguments("--no-wait")})
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == -9
    assert [state_of(job) for job in read_progress(place.runs)] == ["queued"]
    done = place.sweep("--no-wait")
    assert "0 tasks of 1 job on this machine, 1 under way already" in done.stdout
    (job,) = read_progress(place.runs)
    process = psutil.Process(int(job.entries[0].id))
    assert process.name() in ("sh", "dash", "bash")
    assert (submission_folder(place.runs, job.entries[0].name) / f"{process.pid}_submitted.pkl").exists()
    (tmp_path / "go").touch()
    psutil.wait_procs([process], timeout=30)
    assert [state_of(job) for job in read_progress(place.runs)] == ["lost"]


def test_of_two_drivers_at_the_same_time_one_sends(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    place = Place(tmp_path, executor="slurm", tasks=1)
    command = [sys.executable, "-m", "harness.sweep", *place.arguments("--no-wait", "--no-fuse")]
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    printed = [driver.communicate(timeout=60) for driver in drivers]
    assert [(driver.returncode, error) for driver, (_, error) in zip(drivers, printed, strict=True)] == [(0, "")] * 3
    tasks = [int(re.findall(r"(\d+) tasks? of 2 jobs", out)[0]) for out, _ in printed]
    assert sum(tasks) == 2
    arrays = [re.findall(r"--array=0-(\d)", script) for script in slurm.scripts]
    assert arrays in ([["1"]], [[], []]), "the two cells, together or each by another driver"


def test_what_another_driver_has_started_since_the_plan_was_made_is_not_started(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, COUNT, executor="slurm", tasks=3)
    first = [job for job in plan.jobs if job.kind == "evaluate"]
    real = cluster.check_sbatch

    def meanwhile(*given: Any) -> list[str]:
        monkeypatch.setattr(cluster, "check_sbatch", real)
        other, _, _ = planned(tmp_path, EVALUATE, executor="slurm", tasks=3)
        assert submit(other, profile, runs).tasks == 3
        return []

    monkeypatch.setattr(cluster, "check_sbatch", meanwhile)
    assert submit(plan, profile, runs).tasks == 1
    assert [entry.id for entry in entries(runs, first[0].id)] == ["100_0", "100_1", "100_2"]
    assert [len(re.findall("--array", script)) for script in slurm.scripts] == [1, 0]


def test_several_arrays_of_one_job_are_attempts_of_their_own(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    slurm.put("array_size", "2")
    plan, profile, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=5)
    assert submit(plan, profile, runs).tasks == 5
    assert [entry.attempt for entry in entries(runs, plan.jobs[0].id)] == [1, 1, 2, 2, 3]


def submission(runs: Path, age_s: float = 0.0, **changes: Any) -> Submission:
    time = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat(timespec="milliseconds")
    one = Submission(f"made-{runs.name}", "slurm", "array", (("job", 0),), time, "grid~1", **changes)
    write_submission(runs, one)
    return one


def test_what_may_be_on_its_way_is_waited_for(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = submission(tmp_path)
    monkeypatch.setattr(adoption, "LOOK_S", 0.01)
    appears = threading.Timer(0.5, lambda: slurm.put("7.sh", "#SBATCH --job-name='grid~1'\n"))
    slurm.put("7.state", "PENDING")
    appears.start()
    adopt(tmp_path)
    assert read_started(tmp_path, one.name) == Started("7")
    said = "another sweep was submitting, or was killed while submitting: waiting to see which jobs it sent …\n"
    assert capsys.readouterr().out == said


def test_the_clock_of_accounting_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(adoption, "answer", lambda *command: asked.append(list(command)) or "")
    one = Submission("one", "slurm", "array", (("job", 0),), "2026-01-02T03:04:05.678+00:00", "grid~1")
    for zone, since in (
        ("UTC", "2026-01-02T02:04:05"),
        ("UTC+5", "2026-01-01T21:04:05"),
        ("UTC-9", "2026-01-02T11:04:05"),
    ):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert find(one) is None
        assert f"--starttime={since}" in asked[-1]
    monkeypatch.delenv("TZ")
    time.tzset()


def test_one_that_was_given_up_is_cancelled_when_it_comes_to_be_after_all(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm.put("hold")
    real: Callable[..., str] = cluster._sbatch

    def slowly(one: Submission, parameters: dict[str, Any], runs: Path) -> str:
        number = real(one, parameters, runs)
        assert write_started(runs, one.name, Started("")) == Started(""), "another driver"
        return number

    monkeypatch.setattr(cluster, "_sbatch", slowly)
    plan, profile, runs = planned(tmp_path, COUNT, executor="slurm", tasks=1)
    assert submit(plan, profile, runs).tasks == 0
    assert slurm.state("100") == "CANCELLED by 0"
    assert entries(runs, plan.jobs[0].id)[0].id == ""


@pytest.mark.parametrize("became", ["", "99"], ids=["given up", "another job"])
def test_a_job_that_its_submission_did_not_become_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], became: str
) -> None:
    one = submission(tmp_path)
    write_started(tmp_path, one.name, Started(became))
    monkeypatch.setenv("SLURM_JOB_ID", "100")
    run_submission(str(tmp_path), one.name)
    said = f"submission {one.name} was withdrawn or replaced by another job: nothing to do here\n"
    assert capsys.readouterr() == (said, "")
    assert read_progress(tmp_path) == []


def test_a_call_that_is_moved_meanwhile_stays_where_tasks_look_for_it(tmp_path: Path) -> None:
    one = submission(tmp_path)
    folder = submission_folder(tmp_path, one.name)
    two = Submission(**(vars(one) | {"units": (("job", 0), ("job", 1))}))
    (folder / "99_0_0_result.pkl").write_bytes(b"a result")
    (folder / "abc.pkl").write_bytes(b"the call")
    adoption.note_started(two, Started("100"), tmp_path)
    os.rename(folder / "abc.pkl", folder / "100_submitted.pkl")
    assert [(folder / f"100_{task}_submitted.pkl").read_bytes() for task in (0, 1)] == [b"the call"] * 2


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = submission(tmp_path)
    folder = submission_folder(tmp_path, one.name)
    (folder / "abc.pkl").write_bytes(b"the call")

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    adoption._link_pickles(one, "100", folder)
    assert (folder / "100_submitted.pkl").read_bytes() == b"the call"


@pytest.mark.parametrize("content", ["", "[1]", '{"name": "x"}'])
def test_foreign_files_among_the_logs_are_left_alone(tmp_path: Path, content: str) -> None:
    folder = submission_folder(tmp_path, "theirs")
    folder.mkdir(parents=True)
    (folder / "submission.json").write_text(content)
    (tmp_path / "logs" / "notes.txt").write_text("mine")
    adopt(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["submission.json"]


def test_no_squeue_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = submission(tmp_path, age_s=5000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Busy, match="squeue does not answer whether SLURM has grid~1"):
        adopt(tmp_path)
    assert read_started(tmp_path, one.name) is None
