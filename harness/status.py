"""python -m harness.status: what became of the jobs, their logs, and a way to stop them."""

import argparse
import sys
from pathlib import Path

from harness.arguments import add_runs, stop, whole_number
from harness.queue import queued_tasks
from results.files import write_json
from results.progress import JobProgress, read_progress


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m harness.status", description=__doc__)
    parser.add_argument("jobs", nargs="*", metavar="JOB|TABLE", help="only these: ids, their beginnings, or tables")
    add_runs(parser)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--log", action="store_true", help="print the end of the jobs' logs")
    action.add_argument("--cancel", action="store_true", help="stop the jobs; what they finished is kept")
    parser.add_argument("--lines", type=whole_number, default=40, metavar="N", help="lines of each log (40)")
    options = parser.parse_args(arguments)
    runs: Path = options.runs.absolute()
    try:
        found = _select(read_progress(runs), options.jobs)
        if (options.log or options.cancel) and not options.jobs:
            raise ValueError(f"say which jobs to {'cancel' if options.cancel else 'show'}, by id or table")
        if options.cancel:
            _cancel(found, runs)
        elif options.log:
            _logs(found, runs, options.lines)
        else:
            _list(found, runs)
    except (ValueError, OSError) as error:
        return stop(error)
    return 0


def _select(jobs: list[JobProgress], wanted: list[str]) -> list[JobProgress]:
    chosen: dict[str, JobProgress] = {}
    for name in wanted:
        matches = [job for job in jobs if job.id.startswith(name) or name in job.job.get("tables", ())]
        if not matches:
            known = ", ".join(job.id for job in jobs[:10]) or "none"
            raise ValueError(f"no job or table {name!r} here; jobs: {known}")
        chosen |= {job.id: job for job in matches}
    return list(chosen.values()) if wanted else jobs


def _list(jobs: list[JobProgress], runs: Path) -> None:
    import tabulate

    rows = []
    for job in jobs:
        waiting = queued_tasks(job, runs)
        state = "queued" if waiting and job.state not in ("running",) else job.state
        states = [task.state for task in job.tasks]
        hosts = sorted({task.host for task in job.tasks if task.host})
        rows.append(
            [
                job.id,
                job.job.get("kind", "?"),
                ", ".join(job.job.get("tables", ())),
                len(job.job.get("cells", ())),
                state,
                f"{job.done}/{job.total}" if job.total else "",
                f"{states.count('done')}/{len(states)}",
                sum(task.restarts for task in job.tasks),
                ", ".join(hosts),
                job.error[:80],
            ]
        )
    headers = ["job", "kind", "tables", "cells", "state", "steps", "tasks", "restarts", "host", "error"]
    print(tabulate.tabulate(rows, headers, disable_numparse=True) if rows else f"no jobs in {runs}")


def _logs(jobs: list[JobProgress], runs: Path, lines: int) -> None:
    for job in jobs:
        for number, submitted in sorted(job.submitted.get("tasks", {}).items()):
            for suffix in ("out", "err"):
                path = runs / "logs" / f"{submitted.get('id')}_0_log.{suffix}"
                if path.is_file():
                    print(f"==> {path} (job {job.id}, task {number})")
                    print("\n".join(path.read_text(errors="replace").splitlines()[-lines:]))


def _cancel(jobs: list[JobProgress], runs: Path) -> None:
    """Ask running tasks to stop between two batches, and take waiting ones out of the queue."""
    import subprocess

    for job in jobs:
        if job.state not in ("running", "submitted", "pending") and not queued_tasks(job, runs):
            print(f"job {job.id} is {job.state} already")
            continue
        write_json(runs / "jobs" / job.id / "cancelled", {})
        ids = [str(one["id"]) for one in job.submitted.get("tasks", {}).values()]
        if job.submitted.get("executor") == "slurm" and ids:
            subprocess.run(["scancel", *ids], check=False, timeout=60)
        print(f"job {job.id} is told to stop")


if __name__ == "__main__":
    sys.exit(main())
