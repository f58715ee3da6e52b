"""Tasks on a SLURM cluster: arrays, and for trainings gangs of processes that run at the same time."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.profiles import Launch, Profile
from harness.submission import Unit, log_folder, note, note_gang, signal_s
from jobs.spec import Train
from results.provenance import utc_now

if TYPE_CHECKING:
    from submitit import SlurmExecutor


def submit(
    shared: Sequence[Unit], exclusive: Sequence[Unit], gangs: Sequence[Train], profile: Profile, runs: Path
) -> None:
    """Submit tasks that may share nodes, those that may not, and trainings. ValueError where SLURM refuses."""
    for units, alone in ((shared, False), (exclusive, True)):
        _submit_arrays(units, alone, profile, runs)
    for gang in gangs:
        _submit_gang(gang, profile, runs)


def scripts(shared: int, exclusive: int, gangs: Sequence[Train], launch: Launch, command: str, logs: Path) -> list[str]:
    """The sbatch scripts for so many tasks that may share nodes, so many that may not, and for trainings."""
    from submitit.slurm.slurm import _make_sbatch_string

    submissions = [
        _parameters(launch, alone) | {"map_count": count if count > 1 else None}
        for count, alone in ((shared, False), (exclusive, True))
        if count
    ]
    submissions += [_gang_parameters(gang, launch) for gang in gangs]
    # submitit has no public way to show a script without submitting it.
    return [_make_sbatch_string(command=command, folder=logs, **parameters) for parameters in submissions]


def _submit_arrays(units: Sequence[Unit], alone: bool, profile: Profile, runs: Path) -> None:
    from jobs.run import run_tasks

    most = _array_limit() if units else 1
    for start in range(0, len(units), most):
        part = list(units[start : start + most])

        def submit_part(executor: "SlurmExecutor", part: list[Unit] = part) -> Any:
            return executor.map_array(run_tasks, [str(runs)] * len(part), [[unit] for unit in part])

        entry, jobs = _submit(submit_part, _parameters(profile.launch, alone), profile, runs)
        note(part, [entry | {"id": job.job_id} for job in jobs], runs)


def _submit_gang(job: Train, profile: Profile, runs: Path) -> None:
    from jobs.run import run_gang

    def submit_one(executor: "SlurmExecutor") -> Any:
        return executor.submit(run_gang, str(runs), job.id)

    entry, submitted = _submit(submit_one, _gang_parameters(job, profile.launch), profile, runs)
    note_gang(job, entry | {"id": submitted.job_id}, runs)


def _submit(
    submit: Callable[["SlurmExecutor"], Any], parameters: dict[str, Any], profile: Profile, runs: Path
) -> tuple[dict[str, Any], Any]:
    """What to note of a submission, and what `submit` returned of it."""
    from submitit import SlurmExecutor

    logs, time = log_folder(runs), utc_now()
    with _outside_of_any_job():
        try:
            executor = SlurmExecutor(folder=logs)
            executor.update_parameters(**parameters)
            submitted = submit(executor)
        except RuntimeError as error:
            raise ValueError(f"profile {profile.name} cannot submit to SLURM: {error}") from None
    return {"executor": "slurm", "time": time, "log": logs.name}, submitted


def _parameters(launch: Launch, alone: bool) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "job_name": "harness",
        "time": launch.time_min,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": launch.cpus_per_task,
        # Since 22.05 srun no longer takes this over from sbatch.
        "srun_args": [f"--cpus-per-task={launch.cpus_per_task}", "--kill-on-bad-exit=1"],
        "setup": list(launch.setup) or None,
        # submitit's own default is 256.
        "array_parallelism": launch.parallel or sys.maxsize,
    }
    if alone:
        parameters["exclusive"] = True
    if launch.gpus_per_task:
        parameters["gpus_per_node"] = launch.gpus_per_task
    if launch.mem_gb:
        parameters["mem"] = f"{launch.mem_gb}GB"
    for name in ("partition", "account", "qos", "constraint", "exclude"):
        if value := getattr(launch, name):
            parameters[name] = value
    return parameters


def _gang_parameters(job: Train, launch: Launch) -> dict[str, Any]:
    """One submission of all processes of a training. SLURM counts GPUs and memory by node."""
    parameters = _parameters(launch, alone=True)
    parameters |= {"nodes": job.nodes, "ntasks_per_node": job.tasks_per_node, "signal_delay_s": signal_s(launch)}
    if job.gpus:
        parameters["gpus_per_node"] = job.tasks_per_node * job.gpus
    if launch.mem_gb:
        parameters["mem"] = f"{job.tasks_per_node * launch.mem_gb}GB"
    return parameters


def _array_limit() -> int:
    """The most tasks an array may have here; SLURM's default where it does not say."""
    try:
        answer = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        answer = ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer, re.MULTILINE)
    return max(1, int(found[1])) if found else 1001


@contextmanager
def _outside_of_any_job() -> Iterator[None]:
    """Hide SLURM's variables: a job submitted from inside another would inherit its limits and CPU binding."""
    of_the_user = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
    names = [name for name in os.environ if name.startswith("SLURM_") and name not in of_the_user]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)
