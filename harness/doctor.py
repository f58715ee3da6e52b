"""python -m harness.doctor [TABLE…]: what would go wrong, before many GPUs wait on it."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import chain

from harness.arguments import Parser, add_common, run, stop
from harness.checking.inputs import check_inputs, plan_tables
from harness.checking.packages import check_cores, check_packages
from harness.checking.runs_folder import check_runs_folder
from harness.checking.scheduler import check_scheduler
from harness.checking.trial import try_out
from harness.planning.estimate import estimate
from harness.planning.planner import Planner
from harness.profiles import load_profile
from harness.running.findings import Finding, ok, warning, wrong
from harness.tables import Table, load_tables, table_names
from jobs.spec.jobs import Train
from results.records import read_records


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m harness.doctor", description=__doc__)
    names = ", ".join(table_names())
    parser.add_argument(
        "tables", nargs="*", metavar="TABLE", help=f"{names}, or a TOML file; default: those that can be measured"
    )
    add_common(parser)
    parser.add_argument("--no-trial", action="store_true", help="submit nothing")
    options = parser.parse_args(arguments)
    options.runs = options.runs.absolute()
    try:
        tables = load_tables(options.tables or table_names())
    except ValueError as error:
        return stop(error)
    states = []
    for finding in _check(options, tables):
        print(finding, flush=True)
        states.append(finding.state)
    return 1 if {"wrong", "unknown"} & set(states) else 0


def _check(options: argparse.Namespace, tables: Sequence[Table]) -> Iterator[Finding]:
    try:
        profile = load_profile(options.profile, options.set, options.plugin)
    except ValueError as error:
        yield wrong("profile", str(error))
        return
    yield ok("profile", f"{profile.name}, executor {profile.launch.executor}")
    planner = Planner(profile, options.runs)
    plan, findings = plan_tables(tables, planner, asked=bool(options.tables))
    yield from findings
    findings, video = check_inputs(plan, planner)
    yield from findings
    gangs = [job for job in plan.jobs if isinstance(job, Train)]
    yield from check_cores(profile, plan, gangs)
    yield from check_packages(profile, gangs)
    stopped = False
    needed = estimate(plan, planner, read_records(options.runs)[0]).total.disk or 0
    for finding in chain(check_runs_folder(options.runs, needed), check_scheduler(profile, plan, gangs, options.runs)):
        yield finding
        stopped = stopped or finding.state == "wrong"
    if options.no_trial:
        return
    if stopped:
        yield warning("trial", "skipped until the errors above are fixed")
        return
    yield from try_out(profile, options.runs, gangs, video)


if __name__ == "__main__":
    sys.exit(run(main))
