"""How a task that is asked to stop ends in a SLURM job: requeued where that is up to itself, and not for ever."""

import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.node.requeue import leave
from jobs.node.signals import StopRequest
from jobs.run import run_submission
from results.attempts import Submission
from results.progress import TaskProgress
from tests.jobs.submitted import Acts, Scontrol, not_done, put_job, submit, task_of, told

WARNING, END = signal.SIGUSR2, signal.SIGTERM
SHORT, LONG = 2, 600
"""Minutes: near the limit from the start, and far from it."""


def stopped(runs: Path, acts: Acts, *signals: signal.Signals, time_min: int = LONG, timeouts: int = 3) -> TaskProgress:
    """A task of an array after it was stop by these signals."""
    put_job(runs, tasks=2)
    acts(told(*signals))
    name = submit(runs, [("job", 0), ("job", 1)], "array", executor="slurm", time_min=time_min, timeouts=timeouts)
    not_done(runs, name)
    return task_of(runs, index=1)


@pytest.mark.parametrize(
    ("signals", "state", "preempted", "time_min", "requeued", "timeouts"),
    [
        ([WARNING], "RUNNING", False, SHORT, True, 1),
        ([WARNING], "RUNNING", False, LONG, True, 0),
        ([WARNING], "RUNNING", True, SHORT, True, 0),  # the warning was of a preemption, by SLURM's word
        ([END], "RUNNING", True, SHORT, True, 0),  # a time of grace: SLURM would take it for failed
        ([END], "COMPLETING", False, SHORT, False, 0),  # SLURM has requeued it itself
        ([END], "CANCELLED", False, SHORT, False, 0),
        ([END], "RUNNING", False, SHORT, False, 0),  # another process of the job has failed
        ([WARNING, END], "CANCELLED", False, SHORT, False, 0),
        ([END, WARNING], "RUNNING", True, SHORT, True, 0),
        ([signal.SIGINT], "RUNNING", False, SHORT, False, 0),
    ],
)
def test_a_stopped_job_is_requeued_where_that_is_up_to_itself(
    signals: list[signal.Signals],
    state: str,
    preempted: bool,
    time_min: int,
    requeued: bool,
    timeouts: int,
    acts: Acts,
    scontrol: Scontrol,
    tmp_path: Path,
) -> None:
    scontrol.says(state, preempted)
    task = stopped(tmp_path, acts, *signals, time_min=time_min)
    assert (task.state, task.timeouts) == ("stopped", timeouts)
    assert scontrol.requeued == ["7_1"] * requeued


@pytest.mark.parametrize(("minutes", "timeouts"), [(3, 1), (30, 0)])
def test_the_time_limit_is_that_of_the_job_whenever_its_process_began(
    minutes: int, timeouts: int, acts: Acts, scontrol: Scontrol, tmp_path: Path
) -> None:
    scontrol.says("RUNNING", end=datetime.now() + timedelta(minutes=minutes))
    assert stopped(tmp_path, acts, WARNING).timeouts == timeouts


def test_a_task_is_not_started_again_for_ever(acts: Acts, scontrol: Scontrol, tmp_path: Path) -> None:
    put_job(tmp_path, tasks=2)
    acts(told(WARNING))
    units = [("job", 0), ("job", 1)]
    name = submit(tmp_path, units, "array", executor="slurm", time_min=SHORT, timeouts=2)
    for timeouts in (1, 2):
        not_done(tmp_path, name)
        assert task_of(tmp_path, index=1).timeouts == timeouts
    not_done(tmp_path, name)
    task = task_of(tmp_path, index=1)
    assert (task.state, task.retry, len(scontrol.requeued)) == ("failed", False, 2)
    limit = "reached its time limit of 2 min 3 times (launch.timeouts = 2)"
    assert task.error == f"{limit}; asked to stop (SIGUSR2); run the same command to resume"
    name = submit(tmp_path, units, "array", executor="slurm", time_min=SHORT, timeouts=2)
    not_done(tmp_path, name)  # given again by the user
    assert task_of(tmp_path, index=1).timeouts == 1


def test_a_requeue_that_fails_is_asked_for_again(acts: Acts, scontrol: Scontrol, tmp_path: Path) -> None:
    scontrol.put("failures", "2")
    assert stopped(tmp_path, acts, WARNING).state == "stopped"
    assert scontrol.requeued == ["7_1"] * 3


def test_a_requeue_that_is_refused_leaves_the_task_stopped(
    acts: Acts,
    scontrol: Scontrol,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scontrol.put("failures", "999")
    monkeypatch.setattr("jobs.node.requeue.AGAIN_S", 1000.0)  # later than it would be given up
    assert stopped(tmp_path, acts, WARNING).state == "stopped"
    assert "SLURM cannot requeue this job: slurm_update error: busy" in capsys.readouterr().out


def test_without_scontrol_a_task_still_ends(
    acts: Acts, scontrol: Scontrol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("jobs.node.requeue.ASK_S", 0.0)
    for number in (WARNING, END):
        assert stopped(tmp_path / number.name, acts, number).state == "stopped"


def test_only_one_process_of_a_gang_asks(acts: Acts, scontrol: Scontrol, tmp_path: Path) -> None:
    put_job(tmp_path, tasks=2)
    acts(told(WARNING))
    name = submit(tmp_path, [("job", 0), ("job", 1)], "gang", executor="slurm")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
            patch.delenv(variable)
        for rank in (1, 0):
            patch.setenv("RANK", str(rank))
            assert scontrol.requeued == []
            not_done(tmp_path, name)
    assert scontrol.requeued == ["10"]


def test_the_others_of_a_gang_wait_until_slurm_ends_them(
    scontrol: Scontrol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            signal.raise_signal(END)

    monkeypatch.setattr("jobs.node.requeue.WAIT_S", 1000.0)
    monkeypatch.setattr("jobs.node.requeue.time.sleep", sleep)
    with StopRequest() as process:
        signal.raise_signal(WARNING)
        leave(Submission("one", "slurm", "gang", (("job", 0), ("job", 1)), ""), "SIGUSR2", process, first=False)
    assert len(waits) == 3
    assert scontrol.requeued == []


def test_here_a_stopped_task_asks_no_scheduler(acts: Acts, scontrol: Scontrol, tmp_path: Path) -> None:
    put_job(tmp_path)
    acts(told(WARNING))
    not_done(tmp_path, submit(tmp_path, [("job", 0)], time_min=SHORT))
    assert (task_of(tmp_path).state, task_of(tmp_path).timeouts) == ("stopped", 1)
    assert not (scontrol.folder / "asked").exists()
    acts(lambda job, task: None)
    run_submission(str(tmp_path), submit(tmp_path, [("job", 0)]))
    assert task_of(tmp_path).state == "done"
