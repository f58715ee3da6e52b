"""What a large sweep costs the driver: seconds and peak memory of every step, for 1,000 and for 10,000 separate jobs.

    python -m benchmarks.ten_thousand [--cells 1000 10000]

A stand-in scheduler (tests/harness/fake_slurm.py) takes the jobs, and instead of nodes one process leaves behind what
their tasks would: a record and word of the end of each. CPU seconds and memory are those of the driver, wall time has
the stand-in scheduler's too. Each step is a process of its own; imports are in it, the interpreter's start is not. The
one that waits looks at the jobs twice, when none has begun and when all have ended; its pause is left out.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import combinations, islice
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tabulate

from jobs.spec.wire import from_dict
from results.attempts import read_started, read_submission
from results.files import read_json, write_json, write_json_once
from results.progress import job_folder
from results.provenance import utc_now
from results.records import SCHEMA
from tests.harness import fake_slurm

MODELS = ("vit_small", "vit_base", "vit_large", "vit_huge")
DROPS = 50
CHROMIUM = Path("/usr/bin/chromium")
SETTINGS = ["--set", "launch.executor=slurm", "--set", "launch.tasks=1"]


@dataclass(frozen=True)
class Cost:
    """What a step costs; None: not measured."""

    wall_s: float | None
    cpu_s: float | None
    peak_mib: float | None
    look_s: float = 0.0
    """CPU seconds of the longest look at the jobs in it."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ten_thousand", description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[1_000, 10_000], help="how many cells (1000 10000)")
    sizes = parser.parse_args().cells
    found = [measure(size) for size in sizes]
    rows = []
    for name in found[0]:
        costs = [one[name] for one in found]
        walls, cpus = [one.wall_s for one in costs], [one.cpu_s for one in costs]
        peaks = [one.peak_mib for one in costs]
        rows.append([name, *_texts(walls, 1), *_texts(cpus, 1, ratio=True), *_texts(peaks, 0)])
        rows[-1].append(_kib_a_job(peaks, sizes))
    names = [f"{size:,}" for size in sizes]
    headers = ["step", *(f"wall s, {one}" for one in names), *(f"CPU s, {one}" for one in names), "ratio"]
    headers += [*(f"MiB, {one}" for one in names), "KiB a job"]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; cells: {', '.join(names)}, a job each\n")
    print(tabulate.tabulate(rows, headers, tablefmt="github", disable_numparse=True))


def _texts(values: Sequence[float | None], digits: int, ratio: bool = False) -> list[str]:
    texts = ["–" if value is None else f"{value:.{digits}f}" for value in values]
    first, last = values[0], values[-1]
    return texts + ([f"{last / first:.1f}" if first and last else "–"] if ratio else [])


def _kib_a_job(peaks: Sequence[float | None], sizes: Sequence[int]) -> str:
    """By how much memory grows with each job more."""
    first, last = peaks[0], peaks[-1]
    return f"{1024 * (last - first) / (sizes[-1] - sizes[0]):.1f}" if first and last and len(sizes) > 1 else "–"


def measure(cells: int) -> dict[str, Cost]:
    """What each step of a sweep of so many jobs costs."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        runs, slurm, commands = (folder / one for one in ("runs", "slurm", "bin"))
        slurm.mkdir()
        commands.mkdir()
        fake_slurm.install(commands)
        (slurm / "hold").write_text("")
        os.environ |= {"FAKE_SLURM": str(slurm), "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
        grid = str(write_grid(folder / "grid.toml", cells))
        sweep = ["sweep", grid, "--no-fuse", "--profile", "demo", *SETTINGS, "--runs", str(runs)]
        report = ["report", grid, "--profile", "demo", "--runs", str(runs)]
        found = {
            "plan (--dry-run)": step([*sweep, "--dry-run"]),
            "submit (--no-wait)": step([*sweep, "--no-wait"]),
            "status, all waiting": step(["status", "--runs", str(runs)]),
            "adopt and wait for the end": step(sweep, lambda: finish_all(runs, slurm)),
            "sweep, nothing left to do": step(sweep),
            "report": step(report),
            "report as a page": step([*report, "--format", "html"]),
            "status, all done": step(["status", "--runs", str(runs)]),
        }
        waited = found["adopt and wait for the end"]
        found["a look at the jobs, the longer of two"] = Cost(None, waited.look_s, None)
        page = folder / "page.html"
        with open(page, "wb") as file:
            command = [sys.executable, "-m", "harness.report", *report[1:], "--format", "html"]
            subprocess.run(command, stdout=file, check=True)
        found["the page opens in a browser"] = Cost(seconds_to_open(page), None, None)
        return found


def seconds_to_open(page: Path) -> float | None:
    """Until a page is drawn and its script has run; None where there is no browser."""
    if not CHROMIUM.exists():
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        window = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        window.goto(page.as_uri())
        window.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 0)))")
        seconds = time.perf_counter() - began
        browser.close()
    return seconds


def write_grid(path: Path, cells: int) -> Path:
    """A table of GFLOPs of four models under `cells` / 4 reductions."""
    places = ("-".join(map(str, at)) for at in combinations(range(1, 13), 3))
    reductions = [
        f'"sta:r={r},at={at}"' for at in islice(places, -(-cells // len(MODELS) // DROPS)) for r in range(1, DROPS + 1)
    ]
    models = ", ".join(f'"{model}"' for model in MODELS)
    rows = ", ".join(reductions[: cells // len(MODELS)])
    path.write_text(f'metric = "gflops"\n[rows]\nreduction = [{rows}]\n[columns]\nmodel = [{models}]\n')
    return path


def step(arguments: list[str], meanwhile: Callable[[], None] = lambda: None) -> Cost:
    """Run a command in a fresh process; where it pauses between two looks at the jobs, call `meanwhile`."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_drive, args=(arguments, theirs))
    process.start()
    theirs.close()
    while (said := ours.recv()) is None:
        meanwhile()
        ours.send(None)
    process.join()
    return Cost(*said)


def _drive(arguments: list[str], told: Connection) -> None:
    paused = 0.0
    looks: list[float] = []

    def looked(watch: Any) -> list[Any]:
        began = time.process_time()
        found: list[Any] = look(watch)
        looks.append(time.process_time() - began)
        return found

    def pause(_: float) -> None:
        nonlocal paused
        began = time.perf_counter()
        told.send(None)
        told.recv()
        paused += time.perf_counter() - began

    wall, cpu = time.perf_counter(), time.process_time()
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        from harness import report, status, sweep
        from harness.following import watch

        look, watch.Watch.look = watch.Watch.look, looked  # type: ignore[method-assign]
        watch.time = SimpleNamespace(**(vars(time) | {"sleep": pause}))  # type: ignore[assignment]
        command = {"report": report, "status": status, "sweep": sweep}[arguments[0]]
        code = command.main(arguments[1:])
    if code:
        raise RuntimeError(f"{' '.join(arguments)} ended with {code}")
    wall, cpu = time.perf_counter() - wall - paused, time.process_time() - cpu
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    told.send((wall, cpu, int(peak.split()[1]) / 1024, max(looks, default=0.0)))


def finish_all(runs: Path, slurm: Path) -> None:
    """What the nodes would leave behind of every task that was submitted."""
    for folder in sorted((runs / "logs").iterdir()):
        submission, started = read_submission(runs, folder.name), read_started(runs, folder.name)
        assert submission
        assert started
        for place, (job_id, task) in enumerate(submission.units):
            _finish(runs, job_id, task, folder.name)
            fake_slurm.put_state(
                slurm, f"{started.id}_{place}" if len(submission.units) > 1 else started.id, "COMPLETED"
            )


def _finish(runs: Path, job_id: str, task: int, submission: str) -> None:
    now, job = utc_now(), from_dict(read_json(job_folder(runs, job_id) / "job.json")["spec"])
    texts = {"unit": "GFLOPs", "status": "done", "profile": "demo", "job": job_id, "started": now, "ended": now}
    machine = {"host": "node1", "cpu": "none", "cores": 1, "memory": 2**30, "gpu": None}
    for cell in job.cells:
        record = {"id": job.record_id(cell), "cell": vars(cell), "value": 1.0, "schema": SCHEMA} | texts
        record |= {"settings": job.settings(cell), "samples": {"multiply_adds": 10**9, "seconds": 0.1}, "counts": {}}
        record |= {"skipped": [], "flags": [], "notes": [], "provenance": {"machine": machine}}
        write_json_once(runs / "records" / f"{record['id']}.json", record, durable=False)
    word = {"state": "done", "done": 1, "total": 1, "host": "node1", "node": "node1", "submission": submission}
    word |= {"started": now, "updated": now, "pid": 1, "pid_created": 0.0, "error": "", "retry": False}
    write_json(job_folder(runs, job_id) / f"progress-{task}.json", word, durable=False)


if __name__ == "__main__":
    main()
