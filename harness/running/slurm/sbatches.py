"""What sbatch is given: which tasks go together, as arrays and as gangs, and which options they need."""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.profiles import Launch
from harness.running.slurm.sinfo import answer
from harness.running.submission import Start, signal_s
from jobs.spec.cells import Cell
from jobs.spec.jobs import Train
from results.attempts import Unit, submission_folder


@dataclass(frozen=True)
class Sbatch:
    """One sbatch to make: what of, and with which options."""

    kind: str
    units: tuple[Unit, ...]
    label: str
    parameters: dict[str, Any]
    after: int | None = None
    """The index of the sbatch whose end it must wait for, so that no more run at a time than the profile allows."""


def plan_sbatches(starts: Sequence[Start], launch: Launch) -> list[Sbatch]:
    """Arrays of the tasks that need the same of a node, none longer than the cluster allows, and the gangs."""
    groups: dict[bool, list[Unit]] = {}
    gangs = []
    for start in starts:
        if isinstance(start.job, Train):
            gangs.append((start, start.job))
        else:
            group = groups.setdefault(start.job.exclusive, [])
            group += [(start.job.id, task) for task in start.tasks]
    most = array_limit() if any(groups.values()) else 1
    parts = [
        (tuple(units[first : first + most]), alone)
        for alone, units in sorted(groups.items())
        for first in range(0, len(units), most)
    ]
    by_id = {start.job.id: start for start in starts}
    planned = []
    for number, (units, alone) in enumerate(parts):
        parameters = array_parameters(launch, alone, launch.gpus_per_task)
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
        # submitit's own default is a WCKey "submitit", which a cluster that enforces them does not know.
        "wckey": None,
    }
    if alone:
        parameters["exclusive"] = True
    if gpus and launch.gpu_flag == "gres":
        wanted = ":".join(filter(None, ["gpu", launch.gpu_type, str(gpus)]))
        others = launch.extra.get("gres")
        parameters["additional_parameters"]["gres"] = f"{wanted},{others}" if others else wanted
    elif gpus:
        parameters["gpus_per_node"] = f"{launch.gpu_type}:{gpus}" if launch.gpu_type else gpus
    if launch.mem_gb:
        parameters["mem"] = f"{launch.mem_gb}GB"
    if launch.partition:
        parameters["partition"] = re.sub(r"\s", "", launch.partition)
    for name in ("account", "qos", "constraint", "exclude"):
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


def script(one: Sbatch, runs: Path) -> str:
    """The script that sbatch is given, but for the names of its submission and job."""
    from submitit.slurm.slurm import _make_sbatch_string

    logs = submission_folder(runs, "ID")
    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(logs))}"
    # submitit has no public way to show a script without submitting it.
    array = len(one.units) if one.kind == "array" and len(one.units) > 1 else None
    return str(_make_sbatch_string(command, in_a_pattern(logs), one.label, map_count=array, **one.parameters))


def in_a_pattern(folder: Path) -> Path:
    """A folder as SLURM's patterns for names of files spell it: where a % is meant, it is doubled."""
    return Path(str(folder).replace("%", "%%"))


def array_limit() -> int:
    """The most tasks an array may have here; SLURM's default where it does not say."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer("scontrol", "show", "config") or "", re.MULTILINE)
    return max(1, int(found[1])) if found else 1001


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
