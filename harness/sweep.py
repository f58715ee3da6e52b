"""python -m harness.sweep TABLE…: measure every cell of the tables that has no record yet."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.arguments import Parser, add_common, hours, profile_options, run, stop, whole_number
from harness.following import watch
from harness.following.job_reader import JobReader
from harness.planning.available import available
from harness.planning.budget import Tables, within_lines
from harness.planning.estimate import Estimator, estimate
from harness.planning.plan import Plan, make_plan
from harness.planning.planner import Planner
from harness.planning.projected import lines
from harness.planning.rates import KnownRates
from harness.planning.text import command, plural
from harness.profiles import Profile, load_profile, resolve
from harness.running import launch
from harness.running.adoption import adopt
from harness.running.overflow import waits
from harness.running.queue import look_up, under_way
from harness.running.retries import why, wordless
from harness.running.submission import Sent
from harness.tables import Table, load_tables, table_names
from jobs.spec.cells import code_held
from jobs.spec.identity import identity
from jobs.spec.jobs import Train
from jobs.spec.sources import edition_of
from results.metrics import METRICS
from results.progress import read_job
from results.records import Record, each_record, read_records

SAID = 20
"""How many failed jobs are listed one by one."""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m harness.sweep", description=__doc__)
    named = "a built-in table or a group of them (see --list), or a TOML file"
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=named)
    add_common(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the jobs and what would be submitted, and stop")
    parser.add_argument("--no-wait", action="store_true", help="return once everything is submitted")
    parser.add_argument(
        "--no-fuse", action="store_true", help="run every cell alone; only those of one training share it"
    )
    budget = "with --dry-run: of the tables those that fit into N GPU-hours, or core-hours without a GPU"
    parser.add_argument("--budget", type=hours, metavar="N", help=budget)
    parser.add_argument("--limit", type=whole_number, default=0, metavar="N", help="accuracies on N videos only")
    parser.add_argument(
        "--list", action="store_true", help="list all tables, models, reductions, metrics, datasets and profiles"
    )
    options = parser.parse_args(arguments)
    if options.budget is not None and not options.dry_run:
        parser.error("--budget goes with --dry-run: what tables take is projected")
    if not options.tables and not options.list:
        parser.error(f"name a table: {', '.join(table_names())}, or a TOML file; --list prints all, and groups")
    runs: Path = options.runs.absolute()
    try:
        profile = load_profile(options.profile, options.set, options.plugin)
        if options.list:
            print("\n".join(available(profile)))
            return 0
        tables = load_tables(options.tables)
        if options.dry_run:
            _dry_run(tables, Planner(profile, runs, options.limit, elsewhere=True), runs, options)
            return 0
        launch.check_runs(runs)
        adopt(runs)
        plan = _plan(tables, Planner(profile, runs, options.limit), runs, options)
        if _prepare(plan, profile, runs):
            plan = _plan(tables, Planner(profile, runs, options.limit), runs, options)
        sent = _submit(plan, profile, runs)
        if options.no_wait:
            return _not_waiting(sent)
        watch.wait(plan, profile, runs, sent)
    except (ValueError, OSError) as error:
        return stop(error)
    except KeyboardInterrupt:
        if profile.launch.executor == "local":
            print(
                "stopped; run the same command to resume, and harness.status shows what still runs",
                file=sys.stderr,
            )
        else:
            print(
                f"no longer waiting; the jobs keep running, see {command('status', runs=options.runs)}", file=sys.stderr
            )
        return 1
    return _conclude(plan, profile, runs, options)


def _recorded(runs: Path) -> set[str]:
    """The ids of the records, also those that records of earlier versions would have now."""
    return {id for one in each_record(runs, []) for id in (one.id, identity(one.cell, one.settings))}


@code_held()
def _plan(tables: list[Table], planner: Planner, runs: Path, options: argparse.Namespace) -> Plan:
    return _planning(runs, options)(tables, planner)


def _planning(runs: Path, options: argparse.Namespace) -> Callable[[list[Table], Planner], Plan]:
    """What plans tables by what is in the runs folder now, which is read once."""
    unfinished = JobReader(runs, keys=("kind", "tables", "cells", "record_ids")).read_all()
    look_up(unfinished)
    running, have = {job.id for job in unfinished if under_way(job)}, _recorded(runs)
    return lambda tables, planner: make_plan(tables, planner, have, unfinished, running, fuse=not options.no_fuse)


@code_held()
def _dry_run(tables: list[Table], planner: Planner, runs: Path, options: argparse.Namespace) -> None:
    """Show what would be done, with a budget of the tables that fit into it."""
    planned, records = _planning(runs, options), read_records(runs)[0]
    by_table: list[str] = []
    if len(tables) > 1 or options.budget is not None:
        estimator = Estimator(planner, KnownRates(planner.profile, records))
        apart = Tables({table.name: planned([table], planner) for table in tables}, estimator, not options.no_fuse)
        by_table = apart.lines() if len(tables) > 1 else []
        if options.budget is not None:
            fits, left = apart.within(options.budget)
            unknown = [*estimator.unknown, *estimator.rates.unknown]
            print("\n".join(within_lines(fits, left, options.budget, estimator.unit, unknown)) + "\n")
            tables = [table for table in tables if table.name in dict(fits)]
    _show(planned(tables, planner), planner, runs, records, by_table)


@code_held()
def _submit(plan: Plan, profile: Profile, runs: Path) -> Sent:
    """Start what is not under way."""
    sent = launch.submit(plan, profile, runs)
    places = {"this machine" if launch.is_here(job, profile.launch) else "SLURM" for job in plan.jobs}
    where = " and ".join(sorted(places)) or ("SLURM" if profile.launch.executor == "slurm" else "this machine")
    counts = f"{plan.text}, {plan.done} done already"
    running = sum(plan.tasks.values()) - sent.tasks - sum(len(start.tasks) for start in sent.waiting)
    adopted = f", {running} under way already" if running else ""
    tasks = f"{plural(sent.tasks, 'task')} of {plural(len(plan.jobs), 'job')}"
    print(f"{counts}; {tasks} on {where}{adopted}", flush=True)
    _say_left_out(plan, profile)
    return sent


def _not_waiting(sent: Sent) -> int:
    """Say what is not submitted where nobody waits until it may be."""
    if not sent.waiting:
        return 0
    print(f"{waits(sent)}; run the same command again to submit more", file=sys.stderr)
    return 1


def _prepare(plan: Plan, profile: Profile, runs: Path) -> bool:
    """Have the data of generated datasets made where a job needs it, and looked through where it is there, also if all
    values are: it may be of another version, and a video may have been replaced since. Returns whether it has become
    other data than the plan is of."""
    needed = {cell for job in plan.jobs for cell in job.cells}
    splits_of: dict[str, dict[str, bool]] = {}
    for cell in dict.fromkeys(planned.cell for planned in plan.cells):
        dataset = profile.datasets.get(cell.dataset)
        if not dataset or not dataset.prepare or (cell.metric == "tokens_kept" and profile.video):
            continue
        for split in ["val"] + ["train"] * (METRICS[cell.metric].job == "train"):
            there = resolve(dataset.train_labels if split == "train" else dataset.labels, profile, runs).exists()
            if there or cell in needed:
                splits_of.setdefault(cell.dataset, {})[split] = there
    changed = False
    for name, splits in splits_of.items():
        dataset = profile.datasets[name]
        files = [resolve(dataset.train_labels if one == "train" else dataset.labels, profile, runs) for one in splits]
        before = _content(files)
        if missing := [split for split, there in splits.items() if not there]:
            print(f"making the videos of {name} ({' and '.join(missing)}) …", flush=True)
        arguments = ["-m", dataset.prepare, str(resolve(dataset.root, profile, runs))]
        arguments += [part for split in splits for part in ("--split", split)]
        if subprocess.run([sys.executable, *arguments]).returncode:
            raise ValueError(f"{' '.join(arguments)} failed")
        if missing_files := [str(file) for file in files if not file.exists()]:
            raise ValueError(f"the label file of {name}, {missing_files[0]}, is not among what {dataset.prepare} made")
        changed |= _content(files) != before
    return changed


def _content(label_files: Sequence[Path]) -> list[tuple[bytes, str]]:
    """What identifies generated data: its label lists and its edition."""
    return [(file.read_bytes() if file.exists() else b"", edition_of(file)) for file in label_files]


def _say_left_out(plan: Plan, profile: Profile) -> None:
    if plan.left_out:
        steps = profile.train.measure_steps
        why = f"train.measure_steps = {steps} trains {plural(steps, 'step')} only"
        print(f"{plural(plan.left_out, 'cell')} {'is' if plan.left_out == 1 else 'are'} left out: {why}", flush=True)


def _show(plan: Plan, planner: Planner, runs: Path, records: Sequence[Record], by_table: Sequence[str]) -> None:
    launch_settings = planner.profile.launch
    jobs = plural(len(plan.jobs), "job")
    print(f"{plan.text}, {plan.done} done already, {jobs} to run")
    _say_left_out(plan, planner.profile)
    for job in plan.jobs:
        tasks = plan.tasks[job.id]
        each = f"of {launch_settings.cpus_per_task} CPU, {launch_settings.gpus_per_task} GPU"
        if launch_settings.executor == "slurm" and launch.is_here(job, launch_settings):
            each = "on this machine, without a GPU"
        alone = ", with the machine to itself" * job.exclusive
        if isinstance(job, Train):
            nodes = "one node" if job.nodes == 1 else f"{job.nodes} nodes"
            alone = f", all at the same time, with {nodes} to themselves"
        seed = f", seed {job.recipe.seed}" if isinstance(job, Train) else ""
        cells = plural(len(job.cells), "cell")
        print(f"\njob {job.id} for {', '.join(plan.tables[job.id])}: {job.kind}, {cells}{seed}")
        print(f"  {plural(tasks, 'task')} {each}, up to {launch_settings.time_min} min{alone}")
        for cell in job.cells[:40]:
            print(f"  {' '.join(value for value in vars(cell).values() if value)}")
        if len(job.cells) > 40:
            print(f"  … and {len(job.cells) - 40} more")
    if projected := lines(estimate(plan, planner, records)):
        print("\n" + "\n".join([*projected, *([""] if by_table else []), *by_table]))
    ways = {"local": launch.commands, "slurm": launch.scripts}
    for name, way in ways.items():
        for text in way(plan, planner.profile, runs):
            print(f"\nsubmitted as ({name}):\n{text}")


@code_held()
def _conclude(plan: Plan, profile: Profile, runs: Path, options: argparse.Namespace) -> int:
    """Say how it went; 0 where every cell has its record."""
    have = _recorded(runs)
    open_jobs = [job for job in plan.jobs if any(job.record_id(cell) not in have for cell in job.cells)]
    for planned in open_jobs[:SAID]:
        job = read_job(runs, planned.id)
        log = command("status", job.id, "--log", runs=options.runs)
        error = why(job, profile.launch)
        more = f"; see {log}, or run the same command again" if wordless(error) else ""
        text = f"{error or 'it ended without an error message'}{more}"
        print(f"job {job.id} ({', '.join(plan.tables[job.id])}) failed: {text}", file=sys.stderr)
    if len(open_jobs) > SAID:
        more = f"and {plural(len(open_jobs) - SAID, 'more job')} failed"
        print(f"{more}; see {command('status', runs=options.runs)}", file=sys.stderr)
    missing = sum(cell.record not in have for cell in plan.cells)
    report = command("report", *options.tables, *profile_options(options), runs=options.runs)
    have_one = "cell has" if len(plan.cells) == 1 else "cells have"
    print(f"{len(plan.cells) - missing} of {len(plan.cells)} {have_one} a record; {report}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(run(main))
