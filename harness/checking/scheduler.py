"""Whether SLURM answers, can run what is asked for, keeps accounts, and would take the jobs."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.planning.plan import Plan
from harness.profiles import Profile
from harness.running import launch
from harness.running.findings import Finding, ok, unknown, warning, wrong
from harness.running.slurm.refusals import BUSY, LIMIT, ask_sbatch
from harness.running.slurm.sinfo import NoAnswer, ask
from harness.running.slurm.site import check_site
from jobs.spec.jobs import Train


def check_scheduler(profile: Profile, plan: Plan, gangs: Sequence[Train], runs: Path) -> Iterator[Finding]:
    """SLURM: whether it answers, can run what is asked for, keeps accounts, and would take the jobs."""
    if profile.launch.executor != "slurm":
        return
    try:
        config = ask("scontrol", "show", "config")
    except ValueError as error:
        yield wrong("SLURM", str(error))
        return
    known = dict(re.findall(r"^(\w+)\s*= ?(.*?) *$", config, re.MULTILINE))
    version = f"{known.get('SLURM_VERSION', 'version unknown')}, arrays of {known.get('MaxArraySize', '?')} tasks"
    yield ok("SLURM", f"answers; {version}")
    try:
        notes = check_site(profile, gangs)
    except ValueError as error:
        yield wrong("site", str(error))
        return
    yield from notes
    if not notes:
        yield ok("site", f"partition {profile.launch.partition or '(the default)'} can run what is asked for")
    try:
        ask("sacct", "--noheader", "--format=JobID", "-j", "1")
        yield ok("accounting", "sacct answers, so the reason why a job ended is known")
    except ValueError as error:  # no answer, or no sacct on this machine
        said = error.said if isinstance(error, NoAnswer) else str(error)
        remembered = f"from squeue for {known.get('MinJobAge', 'some minutes')} after its end, later from its own files"
        yield warning("accounting", f"sacct says {said!r}; the reason why a job ended is known {remembered}")
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
        try:
            said = ask_sbatch(script)
        except ValueError as error:
            yield wrong("sbatch", str(error))
            return
        if isinstance(said, str):
            yield ok("sbatch", f"{name} would be accepted, and start {said}")
        elif said.kind == BUSY:
            yield unknown("sbatch", f"SLURM cannot say now whether it would accept {name}: {said}")
        elif said.kind == LIMIT:
            yield warning("sbatch", f"not all tasks of {name} would be accepted at once, the rest waits: {said}")
        else:
            yield wrong("sbatch", f"SLURM would refuse {name}: {said}")
