"""python -m harness.doctor [TABLE…]: what would go wrong, told before many GPUs wait on it."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from harness.arguments import Parser, add_common, run, stop
from harness.checking.inputs import check_inputs, plan_tables
from harness.checking.trial import try_out
from harness.planning.estimate import estimate
from harness.planning.lanes import lanes
from harness.planning.plan import Plan
from harness.planning.planner import Planner
from harness.profiles import Profile, load_profile
from harness.running import launch
from harness.running.findings import Finding, ok, unknown, warning, wrong
from harness.running.gpu_support import check_gpu_code
from harness.running.slurm.refusals import BUSY, LIMIT, ask_sbatch
from harness.running.slurm.sinfo import NoAnswer, ask
from harness.running.slurm.site import check_site
from harness.tables import Table, load_tables, table_names
from jobs.spec.jobs import Train
from results.files import write_json_once
from results.records import read_records

IMPORT_S = 180.0
"""How long packages may take to import, from a slow network file system too."""
IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        print("imported", name, importlib.import_module(name).__version__, flush=True)
    except Exception as error:
        print("missing", name, type(error).__name__, error, flush=True)
"""
CLOCK_S = 5.0
"""By how much the clocks of this machine and of the file system may differ."""
LOW = 2 * 2**30
"""Bytes below which a disk counts as full."""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m harness.doctor", description=__doc__)
    names = ", ".join(table_names())
    parser.add_argument(
        "tables", nargs="*", metavar="TABLE", help=f"{names}, or a TOML file; none: those that can be measured"
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
        profile = load_profile(options.profile, options.set)
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
    yield from _check_cores(profile, plan, gangs)
    yield from _check_packages(profile, gangs)
    stopped = False
    needed = estimate(plan, planner, read_records(options.runs)[0]).total.disk or 0
    for finding in chain(_check_runs(options.runs, needed), _check_scheduler(profile, plan, gangs, options.runs)):
        yield finding
        stopped = stopped or finding.state == "wrong"
    if options.no_trial:
        return
    if stopped:
        yield warning("trial", "left out until what is wrong above is mended")
        return
    yield from try_out(profile, options.runs, gangs, video)


def _check_runs(runs: Path, needed: int) -> Iterator[Finding]:
    """The runs folder: who may write there, whether links can be made, its clock and its space, of which about `needed`
    bytes will be taken."""
    try:
        launch.check_runs(runs)
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=runs) as folder:
            now = time.time()
            write_json_once(Path(folder) / "written.json", {})
            ahead = (Path(folder) / "written.json").stat().st_mtime - now
            try:
                os.link(Path(folder) / "written.json", Path(folder) / "linked.json")
                links = ok("links", "records are written by hard links, which the runs folder has")
            except OSError as error:
                weaker = "of two drivers that write the same record at the same moment, the second may win"
                links = warning("links", f"the runs folder has no hard links ({error.strerror}): {weaker}")
        free = shutil.disk_usage(runs).free
    except (ValueError, OSError) as error:
        yield wrong("runs folder", str(error))
        return
    yield ok("runs folder", f"{runs} is ours to write to")
    yield links
    if abs(ahead) > CLOCK_S:
        way = "ahead of" if ahead > 0 else "behind"
        yield warning("clock", f"the file system is {abs(ahead):.0f} s {way} this machine: have its clock set by NTP")
    else:
        yield ok("clock", f"that of the file system is within {CLOCK_S:g} s of this machine's")
    space = f"{free / 2**30:,.1f} GiB are free in the runs folder, and the tables take about {needed / 2**30:,.1f} GiB"
    yield (warning if free < needed + LOW else ok)("disk", space)


def _check_cores(profile: Profile, plan: Plan, gangs: Sequence[Train]) -> Iterator[Finding]:
    """Cores of a task against its decoder processes and at least one thread for the model."""
    cpus = profile.launch.cpus_per_task
    kinds = [("evaluate", profile.evaluate.decoders)] if len(gangs) < len(plan.jobs) else []
    kinds += [("train", profile.train.decoders)] if gangs else []
    for section, decoders in kinds:
        if decoders >= cpus and profile.launch.executor == "slurm":
            all_of = f"{section}.decoders = {decoders} takes all of launch.cpus_per_task = {cpus}"
            yield warning("cores", f"{all_of}, and the model has no core of its own; ask for {decoders + 1}")
        else:
            split = f"{section}.decoders = {decoders}, and the model has {max(1, cpus - decoders)}"
            yield ok("cores", f"of launch.cpus_per_task = {cpus}: {split}")
    if profile.launch.executor == "local":
        try:
            yield ok("machine", f"{lanes(profile.launch)} tasks run here at a time")
        except ValueError as error:
            yield wrong("machine", str(error))


def _check_packages(profile: Profile, gangs: Sequence[Train]) -> Iterator[Finding]:
    """Whether what tasks import is there, and PyTorch has code for the GPUs."""
    # decord brings libraries of its own, which do not always get on with those of others.
    for names in (("torch", "timm", *["deepspeed"] * bool(gangs)), ("decord",)):
        try:
            done = subprocess.run(
                [sys.executable, "-c", IMPORT, *names], capture_output=True, text=True, timeout=IMPORT_S
            )
        except (OSError, subprocess.SubprocessError):
            yield wrong("packages", f"{', '.join(names)}: not imported by {sys.executable} in {IMPORT_S:g} s")
            continue
        found = dict(re.findall(r"^imported (\w+) (\S+)$", done.stdout, re.MULTILINE))
        if found:
            yield ok("packages", ", ".join(f"{name} {version}" for name, version in found.items()))
        errors = dict(re.findall(r"^missing (\w+) (.*)$", done.stdout, re.MULTILINE))
        for name in names:
            if name not in found:
                why = errors.get(name, f"the process ended with exit code {done.returncode}")
                yield wrong("packages", f"{name} cannot be imported by {sys.executable}: {why}")
    if profile.launch.gpus_per_task:
        try:
            note = check_gpu_code(profile)
        except ValueError as error:
            yield wrong("GPU code", str(error))
            return
        unset = profile.launch.executor == "slurm" and not profile.launch.gpu_arch
        if note:
            yield (warning if unset else unknown)("GPU code", note)
        else:
            yield ok("GPU code", f"PyTorch has code for {profile.launch.gpu_arch or 'the GPUs here'}")


def _check_scheduler(profile: Profile, plan: Plan, gangs: Sequence[Train], runs: Path) -> Iterator[Finding]:
    """SLURM: whether it answers, has what is asked for, keeps accounts, and would take the jobs."""
    if profile.launch.executor != "slurm":
        return
    try:
        config = ask("scontrol", "show", "config")
    except ValueError as error:
        yield wrong("SLURM", str(error))
        return
    known = dict(re.findall(r"^(\w+)\s*= ?(.*?) *$", config, re.MULTILINE))
    version = f"{known.get('SLURM_VERSION', 'of an unknown version')}, arrays of {known.get('MaxArraySize', '?')} tasks"
    yield ok("SLURM", f"answers; {version}")
    try:
        notes = check_site(profile, gangs)
    except ValueError as error:
        yield wrong("site", str(error))
        return
    yield from notes
    if not notes:
        yield ok("site", f"partition {profile.launch.partition or '(the default)'} has what is asked for")
    try:
        ask("sacct", "--noheader", "--format=JobID", "-j", "1")
        yield ok("accounting", "sacct answers: why a job ended is known")
    except NoAnswer as error:
        remembered = f"from squeue for {known.get('MinJobAge', 'some minutes')} after its end, later from its own files"
        yield warning("accounting", f"sacct says {error.said!r}; why a job ended is known {remembered}")
    yield from _check_sbatch(plan, profile, runs)


def _check_sbatch(plan: Plan, profile: Profile, runs: Path) -> Iterator[Finding]:
    """What SLURM would say to each kind of job of the plan."""
    asked = set()
    for script in launch.scripts(plan, profile, runs):
        options = [line for line in script.splitlines() if line.startswith("#SBATCH")]
        kind = tuple(
            line for line in options if not re.match(r"#SBATCH --(array|comment|error|job-name|output)=", line)
        )
        if kind in asked:
            continue
        asked.add(kind)
        found = re.search(r"--job-name=(\S+)", script)
        name = found[1] if found else "job"
        said = ask_sbatch(script)
        if isinstance(said, str):
            yield ok("sbatch", f"{name} would be taken, and start {said}")
        elif said.kind == BUSY:
            yield unknown("sbatch", f"SLURM cannot say now whether it would take {name}: {said}")
        elif said.kind == LIMIT:
            yield warning("sbatch", f"of {name} not all tasks would be taken at a time, the rest waits: {said}")
        else:
            yield wrong("sbatch", f"SLURM would refuse {name}: {said}")


if __name__ == "__main__":
    sys.exit(run(main))
