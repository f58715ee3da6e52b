"""How a task of a SLURM job that was told to stop comes to its end, so that SLURM starts it again where it should."""

import os
import subprocess
import time

from jobs.signals import Told
from results.attempts import Submission

NEAR_S = 300.0
"""SLURM's warning comes at most so long before the time limit: what is asked for (180 s), and up to 60 s earlier."""
REQUEUE_S = 60.0
"""How long SLURM is asked to requeue a job, and how long the job then waits to be ended."""
AGAIN_S = 5.0

_BEGAN = time.time()


def near_limit(submission: Submission) -> bool:
    """Whether this process is about to reach its time limit, so that a warning now is of that and not of a preemption.

    Under a limit of a few minutes every warning is taken for that: better one try counted too many than a task that is
    started again for ever.
    """
    limit = 60.0 * submission.time_min
    end = os.environ.get("SLURM_JOB_END_TIME", "") if submission.executor == "slurm" else ""
    left = (float(end) if end.isdigit() else _BEGAN + limit) - time.time()
    return left <= min(NEAR_S, limit / 2 + 90)


def leave(submission: Submission, by: str, told: Told, first: bool) -> None:
    """Have SLURM requeue this job where that is up to us, and wait to be ended by it; returns when there is nothing to
    wait for. `first` is whether this is the one process of the job that asks.

    It is after SIGUSR2: nobody else requeues a job that reaches its limit. After SIGTERM it is not: SLURM requeues what
    it preempts, and what a user cancels must not come back.
    """
    if submission.executor != "slurm" or by != "SIGUSR2":
        return
    if first and told.by != "SIGTERM" and (problem := _requeue()):
        print(f"SLURM does not requeue this job ({problem}); the same sweep submits it again", flush=True)
        return
    # One that ended with an error before SLURM has taken that in would end the job instead.
    until = time.monotonic() + (1 if first else 2) * REQUEUE_S
    while told.by != "SIGTERM" and time.monotonic() < until:
        time.sleep(1.0)


def _requeue() -> str:
    """Have SLURM put this job back into its queue; "", or what kept it from that."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID", "")
    until, problem = time.monotonic() + REQUEUE_S, "it does not answer"
    while (left := until - time.monotonic()) > 0:
        try:
            done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=left)
        except (OSError, subprocess.SubprocessError) as error:
            problem = str(error)
        else:
            if not done.returncode:
                return ""
            problem = " ".join(done.stderr.split()) or f"scontrol ended with {done.returncode}"
        time.sleep(min(AGAIN_S, left))
    return problem
