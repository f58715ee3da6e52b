"""What submitit calls on the node: run the tasks of a submission that are this process's, and report on each."""

import errno
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import psutil

from jobs.node.requeue import leave, timed_out
from jobs.node.signals import StopRequest
from jobs.node.task import Cancelled, Stopped, Task, check_planned, load_job
from jobs.spec.jobs import Train
from jobs.spec.wire import KINDS
from results.attempts import Started, Submission, Unit, read_started, read_submission, submission_folder, write_started
from results.progress import TaskProgress, lives, read_job
from results.progress_writer import ProgressWriter
from results.provenance import git_state

_MODULES = {kind: f"jobs.work.{kind}" for kind in KINDS}
WAIT_S = 1.0
MAY_PASS = (OSError, MemoryError, RuntimeError, EOFError, ImportError)
"""Errors that may not come again: of disks, memory, GPUs, peers, and nodes that lack something. All others are mistakes
in an input or in code, a user's method for example, which another try would repeat."""

PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Errors of the system that may not come again, as of a network file system for a moment."""


def run_submission(runs: str, name: str) -> None:
    """Run this process's share of the submission `name`: one task of an array or a gang, all tasks of a sequence.

    First note what the submission became, and wait for the end of the processes that it comes after. Nothing
    is run if a driver has withdrawn the submission since, or found it in another job. A task that fails leaves
    its reason in its progress file and does not stop the next one. Raises RuntimeError at the end if any is not done,
    so that the scheduler sees it too, and ValueError where the submission cannot be read.
    """
    folder = Path(runs)
    submission = read_submission(folder, name)
    if not submission:
        path = submission_folder(folder, name) / "submission.json"
        raise ValueError(f"{path} is missing or damaged, so there is nothing to run; run the same command again")
    with StopRequest() as stop:
        if not _is_it(folder, submission):
            print(f"submission {name} was withdrawn or replaced by another job: nothing to do here", flush=True)
            return
        while any(lives(pid, created) for pid, created in submission.after):
            if stop.by:
                _leave_unbegun(folder, submission, _own_units(submission), stop.by)
                raise RuntimeError(f"asked to stop ({stop.by}) before anything had started")
            time.sleep(WAIT_S)
        units = _own_units(submission)
        undone = list(units)
        for unit in units:
            if _report_and_run(folder, submission, unit, stop):
                undone.remove(unit)
            if stop.by:
                _leave_unbegun(folder, submission, units[units.index(unit) + 1 :], stop.by)
                break
    if undone:
        names = ", ".join(job_id for job_id, _ in undone)
        raise RuntimeError(f"{len(undone)} of {len(units)} tasks are not done: {names}")


def _is_it(runs: Path, submission: Submission) -> bool:
    """Note that this is what the submission became; False where it has become something else."""
    if submission.executor == "slurm":
        started = Started(os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID", ""))
    else:
        # submitit's: of the process that stands for all it has started.
        process = psutil.Process(int(os.environ.get("SUBMITIT_LOCAL_JOB_ID", os.getpid())))
        started = Started(str(process.pid), socket.gethostname(), process.create_time())
    try:
        return write_started(runs, submission.name, started).id == started.id
    except OSError:
        traceback.print_exc(file=sys.stderr)
        known = read_started(runs, submission.name)
        return known is None or known.id == started.id


def _may_pass(error: Exception) -> bool:
    """Whether another try may do better: the error itself, or the fault of a disk or of memory that it reports."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno in PASSING):
        return True
    return isinstance(error, MAY_PASS) and not isinstance(error, NotImplementedError | RecursionError)


def _own_units(submission: Submission) -> Sequence[Unit]:
    if submission.kind == "sequence":
        return submission.units
    if submission.kind == "array":
        number = int(os.environ.get("SLURM_ARRAY_TASK_ID", 0)) if submission.executor == "slurm" else 0
    elif "SUBMITIT_EXECUTOR" in os.environ:
        from submitit import JobEnvironment

        number = JobEnvironment().global_rank
    else:
        number = int(os.environ.get("RANK", 0))
    if number >= len(submission.units):
        raise ValueError(f"submission {submission.name} has {len(submission.units)} tasks, and this is number {number}")
    return submission.units[number : number + 1]


def _report_and_run(runs: Path, submission: Submission, unit: Unit, stop: StopRequest) -> bool:
    try:
        return _run_task(runs, submission, *unit, stop)
    except OSError:
        traceback.print_exc(file=sys.stderr)
        return False


def _run_task(runs: Path, submission: Submission, job_id: str, index: int, stop: StopRequest) -> bool:
    """Run one task; False where it is not done then. OSError where it cannot even report that it runs."""
    before = read_job(runs, job_id)
    entry = before.entries.get(index)
    if entry and entry.name != submission.name:
        print(f"task {index} of job {job_id} was given to submission {entry.name}: nothing to do here", flush=True)
        return True
    if _runs_elsewhere(before.tasks[index:][:1], submission):
        print(f"task {index} of job {job_id} is running already: nothing to do here", flush=True)
        return True
    progress = ProgressWriter(runs, job_id, index, submission.name)
    git_state()  # kept from here on: what runs is the code as it is now
    try:
        job, data = load_job(runs, job_id)
        check_planned(job, data)
        task = Task(runs, job_id, index, data["tasks"], data["profile"], progress, stop)
        action: Callable[..., None] = import_module(_MODULES[job.kind]).run
        # The processes of a training agree on that first.
        if isinstance(job, Train) or not task.has_records(job):
            action(job, task)
    except Cancelled:
        _leave_word(progress.cancel)
        return False
    except Stopped as stopped:
        _stop(progress, submission, stopped, stop, first=submission.kind != "gang" or index == 0)
        return False
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        expected = isinstance(error, ValueError | OSError)
        text = str(error) if expected else f"{type(error).__name__}: {error}".removesuffix(": ")
        retry = _may_pass(error)
        _leave_word(lambda: progress.fail(text, retry))
        return False
    except BaseException:
        _leave_word(lambda: progress.fail("interrupted", retry=True))
        raise
    _leave_word(progress.finish)
    return True


def _stop(progress: ProgressWriter, submission: Submission, stopped: Stopped, stop: StopRequest, first: bool) -> None:
    """Report a stop, and end such that the task is started again, if it may be."""
    limit = timed_out(submission, stopped.by)
    if limit and submission.executor == "slurm" and progress.timeouts >= submission.timeouts:
        times = f"{progress.timeouts + 1} times" if progress.timeouts else "once"
        reached = f"reached its time limit of {submission.time_min} min {times}"
        _leave_word(lambda: progress.fail(f"{reached} (launch.timeouts = {submission.timeouts}); {stopped}"))
        return
    _leave_word(lambda: progress.stop(str(stopped), limit))
    leave(submission, stopped.by, stop, first)


def _leave_unbegun(runs: Path, submission: Submission, units: Sequence[Unit], by: str) -> None:
    """Report the tasks of a sequence that was asked to stop before it reached them."""
    with suppress(OSError):
        for job_id, index in units:
            entry = read_job(runs, job_id).entries.get(index)
            if entry and entry.name == submission.name:
                ProgressWriter(runs, job_id, index, submission.name).stop(f"asked to stop ({by}) before it started")


def _leave_word(write: Callable[[], None]) -> None:
    """Call `write`; a disk that is full must not alter how the work itself ended."""
    try:
        write()
    except OSError:
        traceback.print_exc(file=sys.stderr)


def _runs_elsewhere(found: Sequence[TaskProgress], submission: Submission) -> bool:
    """Whether a task is running, other than in this submission before it was requeued."""
    return any(task.state == "running" and task.submission != submission.name for task in found)
