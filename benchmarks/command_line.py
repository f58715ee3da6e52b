"""How long the command lines take to answer: median wall time of five runs beside what was asked for.

    python -m benchmarks.command_line

Each figure is that of a whole process, the interpreter's own start included. Everything is written into a temporary
folder.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tabulate

from results.records import Record, write_record

RUNS = 5
MODELS = ("vit_small", "vit_base", "vit_large", "vit_huge")
REDUCTIONS = tuple(f"sta:r={r},at={at}" for at in ("1-5-9", "1-9", "2-6-10", "1-4-8-11", "3") for r in range(1, 51))
"""With the four models a thousand cells."""


def write_grid(path: Path) -> Path:
    """A user's own table of a thousand cells, GFLOPs of four models under 250 reductions."""
    models, reductions = (", ".join(f'"{one}"' for one in names) for names in (MODELS, REDUCTIONS))
    path.write_text(f'metric = "gflops"\n[rows]\nreduction = [{reductions}]\n[columns]\nmodel = [{models}]\n')
    return path


def write_records(runs: Path) -> None:
    """A record for each cell of that table."""
    started = "2026-01-01T00:00:00.000+00:00"
    for number, (model, reduction) in enumerate((model, one) for model in MODELS for one in REDUCTIONS):
        cell = {"model": model, "reduction": reduction, "dataset": "", "views": "", "metric": "gflops"}
        content = {"value": float(number), "unit": "GFLOPs", "status": "done", "profile": "demo", "job": "made"}
        write_record(runs, Record(id=f"made-{number}", cell=cell, started=started, ended=started, **content))


def wall_seconds(*command: str) -> float:
    """Median wall time of `python -m …`; RuntimeError where it fails."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
        times.append(time.perf_counter() - began)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return statistics.median(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        empty, full = Path(folder) / "empty", Path(folder) / "full"
        grid = str(write_grid(Path(folder) / "grid.toml"))
        write_records(full)
        commands = [
            (("harness.sweep", "--help"), 1.0),
            (("harness.report", "--help"), 1.0),
            (("harness.status", "--help"), 1.0),
            (("harness.sweep", "table1", "table2", "table3", "--dry-run", "--runs", str(empty)), 1.0),
            (("harness.sweep", grid, "--dry-run", "--runs", str(empty)), 1.0),
            (("harness.report", grid, "--runs", str(full)), 2.0),
            (("harness.report", grid, "--runs", str(full), "--json"), 2.0),
        ]
        rows = []
        for command, target in commands:
            seconds = wall_seconds(*command)
            shown = " ".join(command).replace(folder + os.sep, "")
            rows.append([shown, f"{seconds:.2f}", f"{target:.0f}", "yes" if seconds < target else "no"])
    load = os.getloadavg()[0]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, median of {RUNS}\n")
    print(tabulate.tabulate(rows, ["command", "s", "asked", "met"], tablefmt="github", disable_numparse=True))
    print("\ngrid.toml has 1,000 cells; full has a record for each, empty has none.")


if __name__ == "__main__":
    main()
