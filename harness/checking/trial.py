"""One small task, or two of a training, submitted like all others, to see how it runs on a node."""

import os
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import psutil

from harness.planning.lanes import gpus
from harness.profiles import Launch, Profile
from harness.running.findings import Finding, ok, unknown, warning, wrong
from harness.running.local import start_processes
from harness.running.slurm.cluster import slurm_executor
from harness.running.slurm.refusals import WRONG, outside_of_any_job, refusal
from harness.running.slurm.sbatches import array_parameters, gang_parameters
from harness.running.slurm.sinfo import NoAnswer, ask
from jobs.spec.jobs import Train
from results.files import private_folder, read_json, write_json

QUEUE_S, RUN_S = 60.0, 120.0
"""How long a trial may wait in the queue, and then run."""
SEEN_S = 20.0
"""How long after its end what it wrote may take to show here, as on a network file system."""
LOOK_S = 1.0
LIMIT_MIN = 5
"""Its time limit in SLURM."""
SETUP = "setup-failed.txt"
"""Where a trial keeps the commands of launch.setup that failed."""


class Sent(Protocol):
    """A trial that was submitted."""

    def state(self) -> tuple[str, str]:
        """`waits`, `runs` or `ended`, and what there is to say of it."""

    def cancel(self) -> None:
        """End it, whatever its state."""


def try_out(profile: Profile, runs: Path, gangs: Sequence[Train], video: str) -> Iterator[Finding]:
    """Send a trial and say what it found; two processes that meet where a training has several. `video` is one to
    decode, or "". Whatever happens, it is over in `QUEUE_S` + `RUN_S` seconds and a bit."""
    launch = replace(profile.launch, time_min=min(profile.launch.time_min, LIMIT_MIN))
    gang = next((job for job in gangs if job.processes > 1), None)
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir=private_folder(runs / "logs")))
    processes = 2 if gang else 1
    write_json(folder / "trial.json", {"processes": processes, "video": video}, durable=False)
    try:
        sent = _sbatch(launch, gang, folder) if launch.executor == "slurm" else _start(launch, processes, folder)
    except (ValueError, RuntimeError) as error:
        said = refusal(str(error))
        yield (wrong if said.kind == WRONG else unknown)("trial", f"it was refused: {said}")
        return
    found: list[dict[str, Any]] = []
    problem: Finding | None = None
    try:
        found, problem = _wait(sent, folder, processes)
    finally:
        if problem or not found:
            sent.cancel()
    if (folder / SETUP).exists():
        failed = ", ".join(dict.fromkeys((folder / SETUP).read_text(errors="replace").splitlines()))
        yield warning("trial setup", f"this line of launch.setup failed there, and tasks start regardless: {failed}")
    if problem:
        yield problem
    else:
        yield from _said(found, profile, bool(gangs))


class _InSlurm:
    def __init__(self, job_id: str) -> None:
        self.id = job_id

    def state(self) -> tuple[str, str]:
        try:
            answer = ask("squeue", "--noheader", "--states=all", "--format=%T|%r", "--jobs", self.id).strip()
        except NoAnswer as error:
            return ("ended", "") if "Invalid job id" in error.said else ("waits", str(error))
        state, _, reason = answer.partition("|")
        if state in ("PENDING", "CONFIGURING", "REQUEUED"):
            return "waits", reason or state
        return ("runs", "") if state in ("RUNNING", "COMPLETING") else ("ended", f"SLURM says {state}" if state else "")

    def cancel(self) -> None:
        with suppress(ValueError):  # it has ended, or does so at its time limit
            ask("scancel", self.id)


class _Here:
    def __init__(self, job: Any) -> None:
        self.job = job

    def state(self) -> tuple[str, str]:
        return ("ended", "") if self.job.done() else ("runs", "")

    def cancel(self) -> None:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(self.job.job_id))
            for one in [process, *process.children(recursive=True)]:
                one.kill()


def _sbatch(launch: Launch, gang: Train | None, folder: Path) -> Sent:
    from jobs.work.probe import run_trial

    if gang:
        several = gang.nodes > 1
        small = replace(gang, nodes=2 if several else 1, tasks_per_node=1 if several else 2)
        parameters = gang_parameters(small, launch)
        # A whole node takes longer to get, and shows nothing more.
        parameters.pop("exclusive")
    else:
        parameters = array_parameters(launch, alone=False, gpus=launch.gpus_per_task)
    if launch.setup:
        noted = f'echo "$BASH_COMMAND" >> {shlex.quote(str(folder / SETUP))}'
        parameters["setup"] = [f"trap {shlex.quote(noted)} ERR", *launch.setup, "trap - ERR"]
    with outside_of_any_job():
        executor = slurm_executor(folder)
        executor.update_parameters(job_name="harness-trial", **parameters)
        return _InSlurm(str(executor.submit(run_trial, str(folder)).job_id))


def _start(launch: Launch, processes: int, folder: Path) -> Sent:
    from jobs.work.probe import run_trial

    visible = gpus()[: processes * launch.gpus_per_task]
    limits = {"timeout_min": LIMIT_MIN}
    return _Here(start_processes(folder, launch, processes, visible, limits, run_trial, str(folder)))


def _wait(sent: Sent, folder: Path, processes: int) -> tuple[list[dict[str, Any]], Finding | None]:
    """What all processes found, or else what went wrong."""
    begin = time.monotonic()
    started = ended = 0.0
    while True:
        found = _read(folder)
        if len(found) == processes and all(one["step"] == "done" for one in found):
            return found, None
        state, said = sent.state()
        now = time.monotonic()
        if not started and (found or state != "waits"):
            started = now
        if not started and now - begin > QUEUE_S:
            return [], unknown("trial", f"still queued after {now - begin:.0f} s ({said}): cancelled without a result")
        if state == "ended":
            ended = ended or now
            if now - ended > SEEN_S:
                return [], wrong("trial", _ended(said, folder, found))
        if started and now - started > RUN_S:
            return [], wrong("trial", f"cancelled after {RUN_S:.0f} s, {_where(found)}; its log is in {folder}")
        time.sleep(LOOK_S)


def _read(folder: Path) -> list[dict[str, Any]]:
    """What the processes have found so far."""
    found = []
    for name in sorted(os.listdir(folder)):  # which also has a network file system look again
        if name.startswith("found-"):
            try:
                found.append(read_json(folder / name))
            except (OSError, ValueError):
                continue  # it is being replaced
    return found


def _where(found: Sequence[dict[str, Any]]) -> str:
    places = [f"at step {one['step']!r} on {_host(one)}" for one in found if one["step"] != "done"]
    return " and ".join(places) or "before its first step"


def _ended(said: str, folder: Path, found: Sequence[dict[str, Any]]) -> str:
    """Why a trial ended without its findings: what its log says last, or that there is none."""
    logs = [path for kind in ("log", "out", "err") for path in sorted(folder.glob(f"*.{kind}"))]
    lines = [line for path in logs for line in path.read_text(errors="replace").splitlines() if line.strip()]
    state = f" ({said})" if said else ""
    if found or logs:
        return f"it ended{state} {_where(found)}: {lines[-1] if lines else 'without a word'}; its log is in {folder}"
    shared = f"is the runs folder on a file system that the nodes share? Nothing was written to {folder}"
    return f"it ended{state} and none of its output can be seen here: {shared}"


def _host(found: dict[str, Any]) -> str:
    return str(found.get("machine", {}).get("host", "?"))


def _said(found: Sequence[dict[str, Any]], profile: Profile, training: bool) -> Iterator[Finding]:
    """A line for each thing that was tried, of all processes together."""
    launch, hosts = profile.launch, ", ".join(dict.fromkeys(_host(one) for one in found))
    problems = {step: text for one in found for step, text in one["wrong"].items()}
    first = found[0]
    if "machine" in first:
        yield ok("trial", f"ran on {hosts}, Python {first['machine']['python']}, and wrote to the runs folder")
        cores = min(one["machine"]["cores"] for one in found if "machine" in one)
        if cores < launch.cpus_per_task:
            remedy = "the cluster's manual says how tasks are bound to cores"
            yield warning("trial cores", f"{cores} for each of launch.cpus_per_task = {launch.cpus_per_task}; {remedy}")
        else:
            yield ok("trial cores", f"{cores}, and launch.cpus_per_task = {launch.cpus_per_task}")
    if "torch" in first:
        yield from _said_of_torch(first["torch"], launch, hosts)
    if "video" in first:
        yield ok("trial video", f"{first['video']['frames']} frames decoded in {first['video']['seconds']:.1f} s")
    if "meeting" in first and "meeting" not in problems:
        yield ok("trial meeting", f"two processes on {' and '.join(dict.fromkeys(first['meeting']))} added numbers")
    elif "name" in first and "name" not in problems:
        yield ok("trial name", f"{hosts} resolves")
    for step, text in problems.items():
        say = warning if step == "name" and not training else wrong
        yield say(f"trial {step}", f"{text} (on {hosts})")


def _said_of_torch(torch: dict[str, Any], launch: Launch, hosts: str) -> Iterator[Finding]:
    version = f"PyTorch {torch['version']}"
    seen = [f"{gpu['name']} ({gpu['arch']})" for gpu in torch["gpus"]]
    archs = {gpu["arch"] for gpu in torch["gpus"]}
    if not launch.gpus_per_task:
        yield ok("trial torch", f"{version} multiplies")
    elif not seen:
        built = f"is built for CUDA {torch['cuda']}; see nvidia-smi there" if torch["cuda"] else "is built without CUDA"
        yield wrong(
            "trial torch", f"launch.gpus_per_task = 1, and there is no GPU to use on {hosts}: {version} {built}"
        )
    elif launch.gpu_arch and archs != {launch.gpu_arch}:
        yield warning("trial torch", f"launch.gpu_arch = {launch.gpu_arch}, and {hosts} has {', '.join(seen)}")
    else:
        yield ok("trial torch", f"{version} computes on {', '.join(dict.fromkeys(seen))}")
