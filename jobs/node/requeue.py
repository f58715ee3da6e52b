"""How a task that was asked to stop in a SLURM job comes to its end, so that SLURM starts it again where it should."""

import os
import re
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from jobs.node.signals import StopRequest
from results.attempts import Submission

NEAR_S = 300.0
"""SLURM's warning comes at most so long before the time limit: what is asked for (180 s), and up to 60 s earlier."""
ASK_S = 60.0
"""How long SLURM is asked for something before that is given up, …"""
AGAIN_S = 5.0
"""… how long after an error it is asked again, …"""
WAIT_S = 120.0
"""… and how long a process waits for it to end the job."""

_BEGAN = time.time()


def timed_out(submission: Submission, by: str) -> bool:
    """Whether the signal `by` means that it is about to reach its time limit.

    Under a limit of a few minutes every warning does that SLURM does not know to be of a preemption: better one try
    counted too many than a task that is started again for ever.
    """
    if by != "SIGUSR2":
        return False
    limit = 60.0 * submission.time_min
    end = _BEGAN + limit
    if submission.executor == "slurm" and (job := _shown()):
        if _preempted(job):
            return False
        with suppress(KeyError, ValueError):
            end = datetime.fromisoformat(job["EndTime"]).timestamp()  # of the job, which began before this process
    return end - time.time() <= min(NEAR_S, limit / 2 + 90)


def leave(submission: Submission, by: str, stop: StopRequest, first: bool) -> None:
    """Have SLURM requeue this job where that is up to the job itself, or wait for it; returns when the process may end.
    `first` is whether this is the one process of the job that asks.

    It is up to the job after SIGUSR2, the warning, since nobody else requeues one that reaches its limit; and in the
    time of grace before a preemption, as SLURM takes a job that ends by itself then for failed (seen with 22.05).
    SIGTERM has other reasons too, in which the job is left alone: what SLURM has requeued already or a user has
    cancelled no longer runs by SLURM's word, and one that has lost a process is not being preempted.
    """
    if submission.executor != "slurm":
        return
    by = stop.by or by
    warned = by == "SIGUSR2"
    job = {} if warned else _shown()
    ours = warned or _preempted(job)
    if job and not ours:
        return
    if ours and first:
        problem = _requeue()
        if problem:
            print(f"SLURM cannot requeue this job: {problem}", flush=True)
        if warned or not problem:
            return
    # Of several processes the first to end ends all; and what SLURM has to kill after a time of grace, it requeues.
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until and stop.by in ("", by):
        time.sleep(1.0)


def _preempted(job: Mapping[str, str]) -> bool:
    """Whether SLURM is about to take this job, which still runs, off its nodes."""
    return job.get("JobState") == "RUNNING" and job.get("PreemptTime", "None") != "None"


def _shown() -> dict[str, str]:
    """What SLURM says of this job; empty where it does not answer."""
    answer, _ = _scontrol(ASK_S, "show", "job", _job())
    return dict(re.findall(r"\b(JobState|PreemptTime|EndTime)=(\S+)", answer))


def _requeue() -> str:
    """Have SLURM put this job back into its queue; "", or what kept it from that."""
    until = time.monotonic() + ASK_S
    while problem := _scontrol(until - time.monotonic(), "requeue", _job())[1]:
        if until - time.monotonic() < AGAIN_S:
            return problem
        time.sleep(AGAIN_S)
    return ""


def _job() -> str:
    """This job's id; not a plain number within an array, as one of its tasks has that of the whole."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID", "")


def _scontrol(timeout_s: float, *arguments: str) -> tuple[str, str]:
    """What scontrol answers, and what is wrong where it does not."""
    try:
        done = subprocess.run(["scontrol", *arguments], capture_output=True, text=True, timeout=timeout_s)
    except (OSError, subprocess.SubprocessError) as error:
        return "", str(error)
    return done.stdout, (" ".join(done.stderr.split()) or "scontrol failed") if done.returncode else ""
