"""What runs on a node: the tasks of a submission, whatever becomes of each."""

import errno
import json
import os
import signal
import socket
import threading
from pathlib import Path

import psutil
import pytest
import torch

from jobs.node.task import Task
from jobs.run import run_submission
from jobs.spec.jobs import Job
from results.attempts import Started, claim, read_started, write_ended, write_started
from results.files import write_json
from results.progress import PEER_LOST, job_folder, read_job
from results.progress_writer import ProgressWriter
from results.provenance import utc_now
from results.records import read_records
from tests.harness.made import put_progress, put_record
from tests.jobs.submitted import Action, Acts, not_done, put_job, run_here, submit, task_of, told


def raising(error: BaseException) -> Action:
    def action(job: Job, task: Task) -> None:
        raise error

    return action


def test_one_broken_job_does_not_stop_the_others_of_its_process(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "blocked").write_text("not a folder")
    write_json(job_folder(tmp_path, "empty") / "job.json", {"tasks": 1})
    write_json(job_folder(tmp_path, "stopped") / "job.json", {"tasks": 1, "spec": {}})
    with pytest.raises(RuntimeError, match="3 of 3 tasks are not done: blocked, empty, stopped"):
        run_here(tmp_path, ("blocked", 0), ("empty", 4), ("stopped", 0))
    assert "job.json" in read_job(tmp_path, "stopped").error
    assert (job_folder(tmp_path, "empty") / "progress-4.json").exists()


@pytest.mark.parametrize(
    ("kind", "executor", "variables", "expected"),
    [
        ("array", "slurm", {"SLURM_ARRAY_TASK_ID": "2"}, [("job", 2)]),
        ("array", "slurm", {}, [("job", 0)]),
        ("array", "local", {"SLURM_ARRAY_TASK_ID": "2"}, [("job", 0)]),  # the driver itself was an array task
        ("gang", "slurm", {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "4", "SLURM_PROCID": "1"}, [("job", 1)]),
        ("gang", "local", {"RANK": "1"}, [("job", 1)]),
        ("sequence", "local", {}, [("job", 0), ("job", 1), ("job", 2)]),
    ],
)
def test_each_process_runs_what_is_its_own(
    kind: str,
    executor: str,
    variables: dict[str, str],
    expected: list[tuple[str, int]],
    acts: Acts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_job(tmp_path, tasks=3)
    done = acts(lambda job, task: None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    name = submit(tmp_path, [("job", index) for index in range(3)], kind, executor=executor)
    run_submission(str(tmp_path), name)
    assert done == expected
    assert {task_of(tmp_path, index=index).submission for _, index in done} == {name}


def test_a_submission_that_is_not_there_or_too_small_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"submission\.json is missing or damaged"):
        run_submission(str(tmp_path), "nowhere")
    name = submit(tmp_path, [("job", 0)], "array", executor="slurm")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    with pytest.raises(ValueError, match="has 1 tasks, and this is number 1"):
        run_submission(str(tmp_path), name)


def test_what_a_submission_became_is_noted_and_nothing_runs_that_was_given_up(
    acts: Acts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_job(tmp_path)
    done = acts(lambda job, task: None)
    here = psutil.Process()
    parent = psutil.Process(here.ppid())
    run_here(tmp_path, ("job", 0))
    assert read_started(tmp_path, "submission-0") == Started(str(here.pid), socket.gethostname(), here.create_time())
    monkeypatch.setenv("SUBMITIT_LOCAL_JOB_ID", str(parent.pid))
    run_here(tmp_path, ("job", 0))
    started = Started(str(parent.pid), socket.gethostname(), parent.create_time())
    assert read_started(tmp_path, "submission-1") == started
    for variable, number in (("SLURM_JOB_ID", "12"), ("SLURM_ARRAY_JOB_ID", "11")):
        monkeypatch.setenv(variable, number)
        name = submit(tmp_path, [("job", 0)], "array", executor="slurm")
        run_submission(str(tmp_path), name)
        assert read_started(tmp_path, name) == Started(number)
    name = submit(tmp_path, [("job", 0)], "array", executor="slurm")
    assert len(done) == 4
    write_started(tmp_path, name, Started(""))
    run_submission(str(tmp_path), name)
    assert len(done) == 4, "a driver has given it up"


def test_a_task_that_runs_elsewhere_is_left_alone_but_not_its_own_earlier_self(
    acts: Acts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_job(tmp_path)
    done = acts(lambda job, task: None)
    put_progress(tmp_path, "job", submission="another")
    run_here(tmp_path, ("job", 0))
    assert "running already" in capsys.readouterr().out
    assert done == []
    name = submit(tmp_path, [("job", 0)])
    put_progress(tmp_path, "job", submission=name)  # requeued on another node before its heartbeat had gone stale
    run_submission(str(tmp_path), name)
    assert done == [("job", 0)]
    assert task_of(tmp_path).restarts == 1


def test_a_task_that_a_later_submission_was_given_is_left_to_it(acts: Acts, tmp_path: Path) -> None:
    put_job(tmp_path)
    ran = acts(lambda job, task: None)
    late, last = (submit(tmp_path, [("job", 0)]) for _ in range(2))
    for number, name in enumerate((late, last), start=1):
        assert claim(tmp_path, "job", number, [0], name, utc_now(), {})
    run_submission(str(tmp_path), late)
    assert ran == []
    run_submission(str(tmp_path), last)
    assert ran == [("job", 0)]


def test_nothing_is_repeated_where_all_records_are_there(acts: Acts, tmp_path: Path) -> None:
    job = put_job(tmp_path)
    done = acts(lambda job, task: None)
    put_record(tmp_path, job.cells[0], id=job.record_id(job.cells[0]))
    run_here(tmp_path, ("job", 0))
    assert done == []
    assert task_of(tmp_path).state == "done"


def test_a_cancelled_task_does_not_begin(tmp_path: Path) -> None:
    put_job(tmp_path)
    write_json(job_folder(tmp_path, "job") / "cancelled", {})
    with pytest.raises(RuntimeError, match="1 of 1 tasks are not done"):
        run_here(tmp_path, ("job", 0))
    assert (task_of(tmp_path).state, read_job(tmp_path, "job").error) == ("cancelled", "cancelled")
    assert read_records(tmp_path)[0] == []


@pytest.mark.parametrize(
    ("error", "text", "retry"),
    [
        (ValueError("the loss is nan"), "the loss is nan", False),
        (OSError(errno.ESTALE, "Stale file handle"), "[Errno 116] Stale file handle", True),
        (ConnectionError(PEER_LOST), PEER_LOST, True),
        (MemoryError(), "MemoryError", True),
        (torch.OutOfMemoryError("CUDA out of memory"), "OutOfMemoryError: CUDA out of memory", True),
        (RuntimeError("cuDNN error"), "RuntimeError: cuDNN error", True),
        (ImportError("no libcuda here"), "ImportError: no libcuda here", True),
        (NameError("name 'tokns' is not defined"), "NameError: name 'tokns' is not defined", False),
        (NotImplementedError("keep"), "NotImplementedError: keep", False),
        (KeyError("a"), "KeyError: 'a'", False),
    ],
)
def test_only_what_the_user_has_to_mend_is_not_worth_another_try(
    error: Exception, text: str, retry: bool, acts: Acts, tmp_path: Path
) -> None:
    put_job(tmp_path)
    acts(raising(error))
    not_done(tmp_path, submit(tmp_path, [("job", 0)]))
    task = task_of(tmp_path)
    assert (task.state, task.error, task.retry) == ("failed", text, retry)


def wrapped(cause: BaseException) -> Action:
    def action(job: Job, task: Task) -> None:
        try:
            raise cause
        except BaseException as error:
            raise ValueError(f"labels cannot be read: {error}") from error

    return action


@pytest.mark.parametrize(
    ("cause", "retry"),
    [
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.ESTALE, "Stale file handle"), True),
        (MemoryError(), True),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), False),
        (PermissionError(errno.EACCES, "Permission denied"), False),
    ],
)
def test_a_fault_of_the_disk_may_pass_whatever_reports_it(
    acts: Acts, tmp_path: Path, cause: BaseException, retry: bool
) -> None:
    put_job(tmp_path)
    acts(wrapped(cause))
    not_done(tmp_path, submit(tmp_path, [("job", 0)]))
    assert task_of(tmp_path).state == "failed"
    assert task_of(tmp_path).retry is retry


def test_a_method_that_has_changed_since_planning_is_not_run(acts: Acts, tmp_path: Path) -> None:
    """Its first blocks may be of the other code, and the record would be of neither."""
    job = put_job(tmp_path)
    path = job_folder(tmp_path, "job") / "job.json"
    planned = json.loads(path.read_text()) | {"record_ids": ["of the code as it was"] * len(job.cells)}
    write_json(path, planned)
    ran = acts(lambda job, task: None)
    not_done(tmp_path, submit(tmp_path, [("job", 0)]))
    assert task_of(tmp_path).error == "the code of none has changed since this job was planned; run the sweep again"
    assert not task_of(tmp_path).retry
    assert ran == []


def test_a_task_that_is_interrupted_by_something_else_says_so(acts: Acts, tmp_path: Path) -> None:
    put_job(tmp_path)
    acts(raising(SystemExit(3)))
    with pytest.raises(SystemExit):
        run_here(tmp_path, ("job", 0))
    assert (task_of(tmp_path).error, task_of(tmp_path).retry) == ("interrupted", True)


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_stop_keeps_to_what_is_begun_however_often_it_is_told(
    number: signal.Signals, acts: Acts, tmp_path: Path
) -> None:
    put_job(tmp_path, "one")
    put_job(tmp_path, "two")
    before = signal.getsignal(number)
    done = acts(told(number, number, number))
    assert not_done(tmp_path, submit(tmp_path, [("one", 0), ("two", 0)])) == "2 of 2 tasks are not done: one, two"
    assert done == [("one", 0)]
    assert task_of(tmp_path, "one").state == "stopped"
    assert task_of(tmp_path, "one").error == f"asked to stop ({number.name}); run the same command to resume"
    assert task_of(tmp_path, "two").state == "pending", "it was not given to this submission"
    assert signal.getsignal(number) == before


def test_a_process_that_is_told_to_stop_waits_no_longer_for_others(tmp_path: Path) -> None:
    put_job(tmp_path)
    me = psutil.Process()
    name = submit(tmp_path, [("job", 0)], after=((me.pid, me.create_time()),))
    timer = threading.Timer(0.2, os.kill, (me.pid, signal.SIGTERM))
    timer.start()
    assert "before anything had started" in not_done(tmp_path, name)
    timer.join()
    assert task_of(tmp_path).state == "pending"


def test_tasks_that_a_process_did_not_come_to_say_so_when_it_is_told_to_stop(acts: Acts, tmp_path: Path) -> None:
    put_job(tmp_path, "one")
    put_job(tmp_path, "two")
    acts(told(signal.SIGINT))
    name = submit(tmp_path, [("one", 0), ("two", 0)])
    for job in ("one", "two"):
        assert claim(tmp_path, job, 1, [0], name, utc_now(), {})
    not_done(tmp_path, name)
    assert [task_of(tmp_path, job).state for job in ("one", "two")] == ["stopped", "stopped"]
    assert task_of(tmp_path, "two").error == "asked to stop (SIGINT) before it started"


def full(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """The disk is full whenever something is written for good into a folder of that name."""
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        if f"/{folder}/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr("results.files.os.fsync", fsync)


def test_a_disk_full_at_the_record_leaves_nothing_half_and_another_try_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_job(tmp_path)
    with monkeypatch.context() as patch:
        full(patch, "records")
        not_done(tmp_path, submit(tmp_path, [("job", 0)]))
    task = task_of(tmp_path)
    assert (task.state, task.retry) == ("failed", True)
    assert os.strerror(errno.ENOSPC) in task.error
    assert list((tmp_path / "records").iterdir()) == []
    run_here(tmp_path, ("job", 0))
    assert len(read_records(tmp_path)[0]) == 1


def test_a_disk_full_at_the_last_word_does_not_undo_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_job(tmp_path)
    with monkeypatch.context() as patch:
        full(patch, "job")
        run_here(tmp_path, ("job", 0))
    assert len(read_records(tmp_path)[0]) == 1
    assert [path.name for path in job_folder(tmp_path, "job").glob(".*")] == []


def test_the_record_says_how_earlier_attempts_ended(tmp_path: Path) -> None:
    put_job(tmp_path)
    ProgressWriter(tmp_path, "job").fail("killed", retry=True)
    how = {"how": "crash", "text": "its node failed on node3", "node": "node3"}
    write_ended(tmp_path, "job", 1, 0, how)
    run_here(tmp_path, ("job", 0))
    provenance = read_records(tmp_path)[0][0].provenance
    assert provenance["ended"] == [{"attempt": 1, "task": 0, **how}]
    assert provenance["restarts"] == 1
    assert provenance["tasks"][0]["node"] == socket.gethostname()
