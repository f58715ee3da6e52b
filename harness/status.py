"""python -m harness.status: what became of the jobs, their logs, and a way to stop them."""

import subprocess
import sys
from pathlib import Path

from harness.arguments import Parser, add_runs, run, stop, whole_number
from harness.queue import state_of
from results.attempts import submission_folder
from results.files import write_json
from results.progress import JobProgress, read_progress


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m harness.status", description=__doc__)
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
        table = Path(name).stem
        matches = [job for job in jobs if job.id.startswith(name) or table in job.job.get("tables", ())]
        if not matches:
            known = ", ".join(job.id for job in jobs[:10]) or "none"
            raise ValueError(f"no job or table {name!r} here; jobs: {known}")
        chosen |= {job.id: job for job in matches}
    return list(chosen.values()) if wanted else jobs


def _list(jobs: list[JobProgress], runs: Path) -> None:
    import tabulate

    rows = []
    for job in jobs:
        states = [task.state for task in job.tasks]
        hosts = sorted({task.host for task in job.tasks if task.host})
        rows.append(
            [
                job.id,
                job.job.get("kind", "?"),
                ", ".join(job.job.get("tables", ())),
                len(job.job.get("cells", ())),
                state_of(job),
                f"{job.done}/{job.total}" if job.total else "",
                f"{states.count('done')}/{len(states)}",
                max(task.restarts for task in job.tasks),
                ", ".join(hosts),
                " ".join((job.error or job.text).split())[:80],
            ]
        )
    headers = ["job", "kind", "tables", "cells", "state", "steps", "tasks", "restarts", "host", "error or progress"]
    print(tabulate.tabulate(rows, headers, disable_numparse=True) if rows else f"no jobs in {runs}")


def _logs(jobs: list[JobProgress], runs: Path, lines: int) -> None:
    shown: set[Path] = set()
    for job in jobs:
        found = False
        for number, entry in sorted(job.entries.items()):
            folder = submission_folder(runs, entry.name)
            # What stands before the task began, a setup that fails say, is not in submitit's own files.
            own = f"{entry.id}_{entry.rank}_log"
            for name in ("process.log", f"{own}.out", f"{own}.err"):
                path = folder / name
                if not path.is_file() or not path.stat().st_size:
                    continue
                found = True
                if path in shown:
                    continue  # several tasks of one process
                shown.add(path)
                print(f"==> {path} (job {job.id}, task {number})")
                print("\n".join(path.read_text(errors="replace").splitlines()[-lines:]))
        if not found:
            print(f"job {job.id} has no log yet")


def _cancel(jobs: list[JobProgress], runs: Path) -> None:
    """Ask running tasks to stop between two batches, and take waiting ones out of the queue."""
    for job in jobs:
        if state_of(job) not in ("running", "queued"):
            print(f"job {job.id} is {state_of(job)} already")
            continue
        write_json(runs / "jobs" / job.id / "cancelled", {})
        # The processes of a gang are one SLURM job.
        if ids := dict.fromkeys(one.id for one in job.entries.values() if one.executor == "slurm" and one.id):
            try:
                subprocess.run(["scancel", *ids], check=False, timeout=60)
            except subprocess.TimeoutExpired:
                raise ValueError(f"scancel does not answer; job {job.id} may go on") from None
        print(f"job {job.id} is told to stop")


if __name__ == "__main__":
    sys.exit(run(main))
