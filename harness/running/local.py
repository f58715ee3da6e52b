"""Tasks as processes of this machine: which share it, and which wait to have it to themselves."""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from harness.planning.lanes import gpus, lanes
from harness.profiles import Launch
from harness.running.adoption import note_started
from harness.running.processes import Process, processes
from harness.running.submission import Start, begin, new_submission, signal_s
from jobs.spec.jobs import Train
from results.attempts import Started, Submission, Unit, submission_folder


def submit(starts: Sequence[Start], launch: Launch, runs: Path) -> int:
    """Start processes that share the tasks, on the lanes that no other process for this runs folder is on (of a driver
    that was killed, say); where there is none, one that waits for them all. A timing has the machine to itself, and so
    has a training: they wait for all others, run one after the other, and later submissions wait for them.
    Returns how many tasks were started."""
    by_id = {start.job.id: start for start in starts}
    together = [start for start in starts if not isinstance(start.job, Train)]
    shared, exclusive = (
        [(start.job.id, task) for start in together if start.job.exclusive == alone for task in start.tasks]
        for alone in (False, True)
    )
    others = processes(runs)
    timings = [process for process, use in others.items() if use.exclusive]
    taken = {use.lane for use in others.values() if not use.exclusive}
    count = lanes(launch)
    free = [lane for lane in range(count) if lane not in taken][: max(0, count - len(taken))]
    chosen, after = (free, timings) if free else ([0], list(others))
    chosen = chosen[: len(shared)]
    parts = [(lane, shared[number :: len(chosen)], list(after)) for number, lane in enumerate(chosen)]
    started: list[Process] = []
    tasks = 0
    visible: tuple[int, ...] = ()
    for lane, units, waits in parts:
        visible = (gpus()[lane],) if launch.gpus_per_task else ()
        tasks += _start("sequence", units, by_id, waits, lane, visible, launch, runs, started)
    if exclusive:
        visible = (gpus()[0],) if launch.gpus_per_task else ()
        tasks += _start("sequence", exclusive, by_id, [*others, *started], 0, visible, launch, runs, started)
    for start in starts:
        if isinstance(start.job, Train) and start.tasks:
            units = [(start.job.id, rank) for rank in range(start.job.processes)]
            visible = gpus()[: start.job.processes] if start.job.gpus else ()
            tasks += _start("gang", units, by_id, [*others, *started], None, visible, launch, runs, started)
    return tasks


def _start(
    kind: str,
    units: Sequence[Unit],
    starts: Mapping[str, Start],
    after: Sequence[Process],
    lane: int | None,
    visible: Sequence[int],
    launch: Launch,
    runs: Path,
    started: list[Process],
) -> int:
    """Start a process, or the processes of a gang, that see the GPUs `visible`, and add the one that stands for them to
    `started`; returns how many tasks they run."""
    whole = replace(new_submission("local", kind, units, launch), after=tuple(after), lane=lane)
    submission = begin(whole, starts, runs)
    if not submission:
        return 0
    pid = _submitit(submission, visible, launch, runs)
    created = 0.0
    with suppress(psutil.NoSuchProcess):  # it may have ended by now
        created = psutil.Process(pid).create_time()
    note_started(submission, Started(str(pid), socket.gethostname(), created), runs)
    started.append((pid, created))
    return len(submission.units)


def _submitit(submission: Submission, visible: Sequence[int], launch: Launch, runs: Path) -> int:
    """Have submitit run a submission; the id of its process."""
    from jobs.run import run_submission

    processes = len(submission.units) if submission.kind == "gang" else 1
    folder = submission_folder(runs, submission.name)
    limits = {"timeout_min": launch.time_min, "signal_delay_s": signal_s(launch)}
    job = start_processes(folder, launch, processes, visible, limits, run_submission, str(runs), submission.name)
    return int(job.job_id)


def start_processes(
    folder: Path,
    launch: Launch,
    processes: int,
    visible: Sequence[int],
    limits: Mapping[str, int],
    call: Callable[..., None],
    *arguments: str,
) -> Any:
    """Have submitit call `call` in `processes` processes of this machine, which see the GPUs `visible`; returns its
    job. What they print is in `folder`; `limits` are submitit's, of time."""
    from submitit import LocalExecutor

    executor = LocalExecutor(folder=folder)
    # submitit gives every local job the GPUs 0 … n − 1 unless told which ones.
    gpu: dict[str, Any] = {"gpus_per_node": len(visible), "visible_gpus": tuple(visible)} if visible else {}
    # With a trap, bash keeps the shell whose process id submitit goes by, rather than turn into the last command.
    setup = ["trap : EXIT", *launch.setup] if launch.setup else []
    executor.update_parameters(setup=setup, tasks_per_node=processes, **limits, **gpu)
    with _output_to(folder / "process.log"):
        return executor.submit(call, *arguments)


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send what this process and those that it starts print to a file. They would keep a pipe open as long as they
    live, and a reader would wait for them."""
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
