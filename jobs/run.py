"""What submitit calls on the node: run tasks, one after the other, and leave word of each."""

import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from jobs.task import Cancelled, Stopped, Task, load_job
from results.progress import ProgressWriter, TaskProgress, lives, read_job
from results.provenance import git_state, slurm_ids

_MODULES = {"evaluate": "jobs.evaluate", "count": "jobs.count", "measure": "jobs.measure", "train": "jobs.train"}
WAIT_S = 1.0


def run_tasks(runs: str, tasks: Sequence[tuple[str, int]], after: Sequence[tuple[int, float]] = ()) -> None:
    """Run each (job id, task index) of `tasks`; first wait for the end of the processes (id, creation time) in `after`.

    A task that fails leaves its reason in its progress file and does not stop the next. Raises RuntimeError at the end
    if any failed, so that the scheduler sees it too.
    """
    while any(lives(pid, created) for pid, created in after):
        time.sleep(WAIT_S)
    failed = [job_id for job_id, index in tasks if not _report_and_run(Path(runs), job_id, index)]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(tasks)} tasks failed: {', '.join(failed)}")


def run_gang(runs: str, job_id: str, after: Sequence[tuple[int, float]] = ()) -> None:
    """Run one process of a job that needs all of its processes at the same time: the task of this process's rank.

    First wait for the end of the processes (id, creation time) in `after`. RuntimeError where it fails.
    """
    from submitit import JobEnvironment

    run_tasks(runs, [(job_id, JobEnvironment().global_rank)], after)


def run_task(runs: Path, job_id: str, index: int) -> bool:
    """Run one task; False where it failed. OSError where it cannot even leave word of that."""
    if _runs_elsewhere(read_job(runs, job_id).tasks[index:][:1]):
        print(f"task {index} of job {job_id} is running already: nothing to do here", flush=True)
        return True
    progress = ProgressWriter(runs, job_id, index)
    git_state()  # kept from here on: what runs is the code as it is now
    try:
        job, data = load_job(runs, job_id)
        task = Task(runs, job_id, index, data["tasks"], data["profile"], progress)
        task.check_cancelled()
        action: Callable[..., None] = import_module(_MODULES[job.kind]).run
        action(job, task)
    except Cancelled:
        progress.fail("cancelled")
        return False
    except Stopped as stopped:
        progress.fail(str(stopped))
        return False
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        expected = isinstance(error, ValueError | OSError)
        progress.fail(str(error) if expected else f"{type(error).__name__}: {error}")
        return False
    except SystemExit:
        raise  # the scheduler will start it again: it has not failed
    except BaseException:
        progress.fail("interrupted")
        raise
    progress.finish()
    return True


def _report_and_run(runs: Path, job_id: str, index: int) -> bool:
    try:
        return run_task(runs, job_id, index)
    except OSError:
        traceback.print_exc(file=sys.stderr)
        return False


def _runs_elsewhere(found: Sequence[TaskProgress]) -> bool:
    """Whether a task is running, other than in this SLURM job before it was requeued."""
    own = slurm_ids().get("job_id")
    return any(task.state == "running" and not (own and task.slurm.get("job_id") == own) for task in found)
