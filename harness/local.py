"""Tasks as processes of this machine: which share it, and which wait to have it to themselves."""

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from harness.machine import Process, gpus, lanes, processes
from harness.profiles import Launch
from harness.submission import Unit, log_folder, note, note_gang, signal_s
from jobs.spec import Train
from results.provenance import utc_now


def submit(
    shared: Sequence[Unit], exclusive: Sequence[Unit], gangs: Sequence[Train], launch: Launch, runs: Path
) -> None:
    """Start processes that share the tasks, on the lanes that no other process for this runs folder is on (of a driver
    that was killed, say); where there is none, one that waits for them all. A timing has the machine to itself, and so
    has a training: they wait for all others, run one after the other, and whatever is submitted later waits for
    them."""
    others = processes(runs)
    timings = [process for process, use in others.items() if use.exclusive]
    taken = {use.lane for use in others.values() if not use.exclusive}
    count = lanes(launch)
    free = [lane for lane in range(count) if lane not in taken][: max(0, count - len(taken))]
    chosen, after = (free, timings) if free else ([0], list(others))
    chosen = chosen[: len(shared)]
    started = [_tasks(shared[number :: len(chosen)], after, lane, launch, runs) for number, lane in enumerate(chosen)]
    if exclusive:
        started.append(_tasks(exclusive, [*others, *started], 0, launch, runs))
    for gang in gangs:
        started.append(_gang(gang, [*others, *started], launch, runs))


def _tasks(units: Sequence[Unit], after: Sequence[Process], lane: int, launch: Launch, runs: Path) -> Process:
    from jobs.run import run_tasks

    visible = (gpus()[lane],) if launch.gpus_per_task else ()
    entry, process = _start((run_tasks, str(runs), list(units), list(after)), visible, launch, runs)
    note(units, [entry | {"lane": lane}] * len(units), runs)
    return process


def _gang(job: Train, after: Sequence[Process], launch: Launch, runs: Path) -> Process:
    from jobs.run import run_gang

    visible = gpus()[: job.processes] if job.gpus else ()
    together = {"tasks_per_node": job.processes, "signal_delay_s": signal_s(launch)}
    entry, process = _start((run_gang, str(runs), job.id, list(after)), visible, launch, runs, **together)
    note_gang(job, entry, runs)
    return process


def _start(
    call: tuple[Any, ...], visible: Sequence[int], launch: Launch, runs: Path, **parameters: int
) -> tuple[dict[str, Any], Process]:
    """Have submitit make a call in a process of its own, or several, that see the GPUs `visible`; returns what to note
    of it and the process that stands for all."""
    from submitit import LocalExecutor

    logs, time = log_folder(runs), utc_now()
    executor = LocalExecutor(folder=logs)
    # submitit gives every local job the GPUs 0 … n − 1 unless told which ones.
    gpu: dict[str, Any] = {"gpus_per_node": len(visible), "visible_gpus": tuple(visible)} if visible else {}
    # With a trap, bash keeps the shell whose process id submitit goes by, rather than turn into the last command.
    setup = ["trap : EXIT", *launch.setup] if launch.setup else []
    executor.update_parameters(timeout_min=launch.time_min, setup=setup, **gpu, **parameters)
    with _output_to(logs / "process.log"):
        job = executor.submit(*call)
    pid = int(job.job_id)
    created = psutil.Process(pid).create_time()
    entry = {"executor": "local", "host": socket.gethostname(), "id": job.job_id, "created": created}
    return entry | {"time": time, "log": logs.name}, (pid, created)


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send what this process and those started meanwhile print to a file. They would keep a pipe open as long as they
    live, and whoever reads it would wait for them."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for number in (1, 2):
            os.dup2(target, number)
        yield
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(target)
