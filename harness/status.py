"""python -m harness.status: how far jobs are and why they ended, their logs, and cancelling."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.arguments import Parser, add_runs, run, stop, whole_number
from harness.following import listing
from harness.following.job_reader import JobReader
from harness.following.job_selection import choose
from harness.following.listing import Line
from harness.following.logs import show_logs
from harness.following.stopping import cancel
from results.progress import JobProgress

LOOK_S = 3.0
COST = 50
"""Pause between two looks, as a multiple of the core time that a look used: watching must not slow the tasks."""

Show = Callable[[list[Line], str], None]


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m harness.status", description=__doc__)
    named = "only these: ids of jobs, records or SLURM, their beginnings, tables, or cells, as vit_large/sta:r=64/k400"
    parser.add_argument("jobs", nargs="*", metavar="JOB|TABLE|CELL", help=named)
    add_runs(parser)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--watch", action="store_true", help="show the list until nothing runs or waits")
    action.add_argument("--log", action="store_true", help="print the end of the jobs' logs")
    action.add_argument("--cancel", action="store_true", help="stop the jobs; what they finished is kept")
    action.add_argument("--json", action="store_true", help="print one JSON object a job")
    parser.add_argument("--lines", type=whole_number, default=40, metavar="N", help="lines of each log (40)")
    options = parser.parse_args(arguments)
    runs: Path = options.runs.absolute()
    reader = JobReader(runs)
    try:
        if (options.log or options.cancel) and not options.jobs:
            raise ValueError(f"say which jobs to {'cancel' if options.cancel else 'show'}, by id, table or cell")
        if options.watch:
            _watch(reader, options.jobs)
        elif options.cancel:
            jobs = reader.read_all()
            chosen = choose(jobs, options.jobs, one_each=True)
            cancel([job for job in jobs if job.id in chosen], chosen, runs)
        elif options.log:
            show_logs(_chosen(reader, options.jobs), runs, options.lines)
        elif options.json:
            print(json.dumps(listing.as_json(listing.lines(_chosen(reader, options.jobs), runs)[0]), indent=1))
        else:
            print(_text(*listing.lines(_chosen(reader, options.jobs), runs), runs))
    except (ValueError, OSError) as error:
        return stop(error)
    return 0


def _chosen(reader: JobReader, words: list[str]) -> list[JobProgress]:
    jobs = reader.read_all()
    chosen = choose(jobs, words)
    return [job for job in jobs if job.id in chosen] if words else jobs


def _text(lines: list[Line], silence: str, runs: Path) -> str:
    if not lines:
        return f"no jobs in {runs}"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return "\n".join([listing.summary(lines), *filter(None, [silence]), "", listing.table(lines, width)])


def _watch(reader: JobReader, words: list[str]) -> None:
    """Show the list until no job runs or waits, or the user has seen enough."""
    try:
        with _redrawn(reader.runs) if sys.stdout.isatty() else _repeated(reader.runs) as show:
            while True:
                began = time.process_time()
                lines, silence = listing.lines(_chosen(reader, words), reader.runs)
                show(lines, silence)
                if not any(line.state in ("running", "queued") for line in lines):
                    return
                time.sleep(max(LOOK_S, COST * (time.process_time() - began)))
    except KeyboardInterrupt:
        return


@contextmanager
def _redrawn(runs: Path) -> Iterator[Show]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(), auto_refresh=False) as live:

        def show(lines: list[Line], silence: str) -> None:
            live.update(Text(_text(lines, silence, runs), no_wrap=True, overflow="crop"), refresh=True)

        yield show


@contextmanager
def _repeated(runs: Path) -> Iterator[Show]:
    before: object = None

    def show(lines: list[Line], silence: str) -> None:
        nonlocal before
        now = [replace(line, seconds=None) for line in lines], silence
        if now != before:
            print(("\n" if before else "") + _text(lines, silence, runs), flush=True)
            before = now

    yield show


if __name__ == "__main__":
    sys.exit(run(main))
