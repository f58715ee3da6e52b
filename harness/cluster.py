"""Tasks on a SLURM cluster: arrays, and for trainings gangs of processes that run at the same time."""

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.adoption import Busy, find, note_started
from harness.profiles import Launch, Profile
from harness.sinfo import answer, ask
from harness.submission import Start, begin, new_submission, signal_s
from jobs.cells import Cell
from jobs.spec import Count, Train
from results.attempts import Started, Submission, Unit, read_started, submission_folder

if TYPE_CHECKING:
    from submitit import SlurmExecutor

SBATCH_S, TEST_S = 120, 60
"""Seconds that sbatch is given to answer."""
SENDS = 3
"""How often a submission is sent to a SLURM that does not answer."""
AGAIN_S = 10.0
"""Seconds between two of them."""
BUSY = re.compile(
    r"timed out|[Ss]ocket|[Uu]nable to contact|Connection|temporar|Zero Bytes|try again"
    r"|violates accounting/QOS policy|(code|status) (124|137)\b"
    r"|make sense of sbatch output"
)
"""What sbatch says, or submitit of it, when it is SLURM that cannot answer now, rather than the job that is wrong."""


@dataclass(frozen=True)
class Sbatch:
    """One sbatch to make: what of, and with which options."""

    kind: str
    units: tuple[Unit, ...]
    label: str
    parameters: dict[str, Any]
    after: int | None = None
    """The place of another whose end it must wait for, lest more run at a time than the profile allows."""


def submit(starts: Sequence[Start], profile: Profile, runs: Path) -> int:
    """Submit tasks; returns how many. ValueError where SLURM refuses one of them, which is not queued then."""
    planned = plan_sbatches(starts, profile.launch)
    by_id = {start.job.id: start for start in starts}
    sent: list[tuple[str, int]] = []
    for one in planned:
        before = sent[one.after][0] if one.after is not None else ""
        sent.append(_send(one, before, by_id, profile, runs))
    return sum(tasks for _, tasks in sent)


def scripts(starts: Sequence[Start], launch: Launch, runs: Path) -> list[str]:
    """The sbatch scripts of what `submit` would submit."""
    logs = submission_folder(runs, "ID")
    return [_script(one, logs) for one in plan_sbatches(starts, launch)]


def plan_sbatches(starts: Sequence[Start], launch: Launch) -> list[Sbatch]:
    """Arrays of the tasks that need the same of a node, none longer than the cluster allows, and the gangs."""
    groups: dict[tuple[bool, int], list[Unit]] = {}
    gangs = []
    for start in starts:
        if isinstance(start.job, Train):
            gangs.append((start, start.job))
        else:
            gpus = 0 if isinstance(start.job, Count) else launch.gpus_per_task
            group = groups.setdefault((start.job.exclusive, gpus), [])
            group += [(start.job.id, task) for task in start.tasks]
    most = array_limit() if any(groups.values()) else 1
    parts = [
        (tuple(units[first : first + most]), kind)
        for kind, units in sorted(groups.items())
        for first in range(0, len(units), most)
    ]
    by_id = {start.job.id: start for start in starts}
    planned = []
    for number, (units, (alone, gpus)) in enumerate(parts):
        parameters = array_parameters(launch, alone, gpus)
        # The profile's throttle holds for all arrays together.
        if launch.parallel:
            parameters["array_parallelism"] = max(1, (launch.parallel + number) // len(parts))
        inside = [by_id[job_id] for job_id in dict.fromkeys(job_id for job_id, _ in units)]
        parameters["comment"] = _comment(inside)
        after = number - launch.parallel if 0 < launch.parallel <= number else None
        planned.append(Sbatch("array", units, _label(inside), parameters, after))
    for start, job in gangs:
        ranks = tuple((job.id, rank) for rank in range(job.processes))
        parameters = gang_parameters(job, launch) | {"comment": _comment([start])}
        planned.append(Sbatch("gang", ranks, _label([start]), parameters))
    return planned


def array_parameters(launch: Launch, alone: bool, gpus: int) -> dict[str, Any]:
    """submitit's parameters of an array whose tasks have a node to themselves (`alone`) or share it."""
    parameters: dict[str, Any] = {
        "time": launch.time_min,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": launch.cpus_per_task,
        # Since 22.05 srun no longer takes this over from sbatch.
        "srun_args": [f"--cpus-per-task={launch.cpus_per_task}", "--kill-on-bad-exit=1"],
        "setup": list(launch.setup) or None,
        # submitit's own default is 256.
        "array_parallelism": launch.parallel or sys.maxsize,
        "signal_delay_s": signal_s(launch),
        "additional_parameters": {"requeue": True} | launch.extra,
    }
    if alone:
        parameters["exclusive"] = True
    if gpus:
        parameters["gpus_per_node"] = gpus
    if launch.mem_gb:
        parameters["mem"] = f"{launch.mem_gb}GB"
    for name in ("partition", "account", "qos", "constraint", "exclude"):
        if value := getattr(launch, name):
            parameters[name] = value
    return parameters


def gang_parameters(job: Train, launch: Launch) -> dict[str, Any]:
    """The same of all processes of a training. SLURM counts GPUs and memory by node."""
    parameters = array_parameters(launch, alone=True, gpus=job.tasks_per_node * job.gpus)
    parameters |= {"nodes": job.nodes, "ntasks_per_node": job.tasks_per_node}
    if launch.mem_gb:
        parameters["mem"] = f"{job.tasks_per_node * launch.mem_gb}GB"
    return parameters


def array_limit() -> int:
    """The most tasks an array may have here; SLURM's default where it does not say."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer("scontrol", "show", "config") or "", re.MULTILINE)
    return max(1, int(found[1])) if found else 1001


def _send(planned: Sbatch, before: str, starts: Mapping[str, Start], profile: Profile, runs: Path) -> tuple[str, int]:
    """One sbatch, that waits for the end of the job `before`; returns its id and how many tasks it starts. A SLURM that
    does not answer may have taken the job all the same, so it is looked up before it is sent again."""
    whole = new_submission("slurm", planned.kind, planned.units, profile.launch, planned.label)
    submission = begin(whole, starts, runs)
    if not submission:
        return "", 0
    parameters = planned.parameters | ({"dependency": f"afterany:{before}"} if before else {})
    job_id, wrong = "", ""
    for left in reversed(range(SENDS)):
        try:
            job_id = _sbatch(submission, parameters, runs)
        except RuntimeError as error:
            wrong = " ".join(str(error).split())
            if BUSY.search(wrong):
                time.sleep(AGAIN_S)
                found = find(submission)
                job_id = found.id if found else ""
                if not job_id and left and not read_started(runs, submission.name):
                    continue
        break
    stands = note_started(submission, Started(job_id), runs)
    if job_id and stands.id != job_id:
        # It took so long that another driver has given it up.
        _cancel(job_id)
        return stands.id, 0
    if not stands.id:
        refused = Busy if BUSY.search(wrong) else ValueError
        raise refused(f"profile {profile.name} cannot submit to SLURM: {wrong}")
    return stands.id, len(submission.units)


def _cancel(job_id: str) -> None:
    with suppress(ValueError):
        ask("scancel", job_id)


def _sbatch(submission: Submission, parameters: dict[str, Any], runs: Path) -> str:
    """Have submitit submit the tasks, with one pickled call for all of them; SLURM's id of the job."""
    from jobs.run import run_submission

    with outside_of_any_job():
        executor = slurm_executor(submission_folder(runs, submission.name))
        executor.update_parameters(job_name=submission.slurm_name, **parameters)
        # submitit keeps this to itself, as it pickles each task of an array; ours are told apart by their index.
        executor.parameters["map_count"] = submission.array or None
        # What sbatch says is in the error, too.
        with redirect_stderr(io.StringIO()):
            return str(executor.submit(run_submission, str(runs), submission.name).job_id)


def slurm_executor(folder: Path) -> "SlurmExecutor":
    """submitit's executor, whose files are in `folder`, with a limit of its own to how long sbatch may take."""
    from submitit import SlurmExecutor

    class Executor(SlurmExecutor):
        def _make_submission_command(self, submission_file_path: Path) -> list[str]:
            command = super()._make_submission_command(submission_file_path)
            return ["timeout", "--kill-after=10", str(SBATCH_S), *command]

    return Executor(folder=folder)


def check_sbatch(starts: Sequence[Start], profile: Profile) -> None:
    """ValueError where SLURM would refuse one of the jobs, before any of them is queued."""
    for one in plan_sbatches(starts, profile.launch):
        script, command = _script(one, Path(tempfile.gettempdir())), ["sbatch", "--test-only"]
        with outside_of_any_job():
            try:
                done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=TEST_S)
            except OSError as error:
                raise ValueError(f"sbatch cannot be run here: {error.strerror}") from None
            except subprocess.TimeoutExpired:
                raise Busy(f"SLURM has not answered sbatch --test-only for {TEST_S} s") from None
        if done.returncode and not BUSY.search(done.stderr):
            wrong = " ".join(done.stderr.replace("allocation failure:", "").split())
            raise ValueError(f"profile {profile.name}: SLURM would refuse {one.label}: {wrong}")


def _script(one: Sbatch, logs: Path) -> str:
    from submitit.slurm.slurm import _make_sbatch_string

    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(logs))}"
    # submitit has no public way to show a script without submitting it.
    array = len(one.units) if one.kind == "array" and len(one.units) > 1 else None
    return str(_make_sbatch_string(command=command, folder=logs, job_name=one.label, map_count=array, **one.parameters))


def _label(starts: Sequence[Start]) -> str:
    """What a job is called in SLURM: its tables, and its cell, what its cells have in common, or how many they are."""
    tables = "+".join(dict.fromkeys(name for start in starts for name in start.tables))
    cells = [cell for start in starts for cell in start.job.cells]
    return re.sub(r"[^\w.:=+-]", "-", ".".join(filter(None, [tables, _of_cells(cells)])))[:100] or "harness"


def _of_cells(cells: Sequence[Cell]) -> str:
    common = [values.pop() for name in vars(cells[0]) if len(values := {getattr(cell, name) for cell in cells}) == 1]
    parts = [part for part in common if part]
    return ".".join([*parts, f"{len(cells)}-cells"] if len(cells) > 1 else parts)


def _comment(starts: Sequence[Start]) -> str:
    """The ids of the records that a job is for, as far as they fit."""
    ids = [start.job.record_id(cell) for start in starts for cell in start.job.cells]
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return f"records {' '.join(ids[:3])}{more}"


@contextmanager
def outside_of_any_job() -> Iterator[None]:
    """Hide SLURM's variables: a job submitted from inside another would inherit its limits and CPU binding, and those
    of sbatch come before what the profile says."""
    of_the_user = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
    names = [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_")) and name not in of_the_user]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)
