"""What the HTML report costs: seconds of each step for 1,000 records with their raw samples, and the size of the page.

    python -m benchmarks.report_page

The records are timings as jobs leave them, 30 samples and the whole provenance in each. Steps are the median of five in
one process, after one that is not counted, which loads matplotlib and Jinja2; commands are whole processes, the
interpreter's start included. Everything is written into a temporary folder.
"""

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import tabulate

from benchmarks.command_line import MODELS, REDUCTIONS, RUNS, wall_seconds
from harness.profiles import load_profile
from harness.report import look, page_text
from harness.tables import load_table
from results.records import write_record
from results.render import render
from tests.results.render.made_page import timing

PROFILE = "v100"
"""One in which no small model stands in for those of the grid."""
LARGEST = 3 * 2**20
"""Bytes that the page may have."""


def write_runs(folder: Path) -> tuple[Path, Path]:
    """A table of a thousand cells, and a runs folder with a record for each."""
    grid, runs = folder / "grid.toml", folder / "runs"
    models, reductions = (", ".join(f'"{one}"' for one in names) for names in (MODELS, REDUCTIONS))
    grid.write_text(f'metric = "clips_per_s"\n[rows]\nreduction = [{reductions}]\n[columns]\nmodel = [{models}]\n')
    for number, (model, reduction) in enumerate(product(MODELS, REDUCTIONS)):
        record = timing(f"made-{number}", reduction, number)
        write_record(runs, replace(record, cell=record.cell | {"model": model}))
    return grid, runs


def median_seconds(step: Callable[[], object]) -> float:
    """Median wall time of a step that was done once before."""
    step()
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        grid, runs = write_runs(Path(folder))
        profile, tables = load_profile(PROFILE, []), [load_table(str(grid))]
        found = look(tables, profile, runs, all_of_them=True)
        size = len(page_text(tables, profile, found, runs).encode())
        on_disk = sum(path.stat().st_size for path in runs.rglob("*.json"))
        command = ("harness.report", str(grid), "--profile", PROFILE, "--runs", str(runs), "--format")
        steps = {
            "read the runs folder": median_seconds(lambda: look(tables, profile, runs, all_of_them=True)),
            "the table as Markdown": median_seconds(lambda: render(list(found.views.values()), "github")),
            "the page": median_seconds(lambda: page_text(tables, profile, found, runs)),
            "report --format github": wall_seconds(*command, "github"),
            "report --format html": wall_seconds(*command, "html"),
        }
    load = os.getloadavg()[0]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, median of {RUNS}\n")
    print(tabulate.tabulate([[step, f"{seconds:.2f}"] for step, seconds in steps.items()], ["step", "s"], "github"))
    text, page = steps["report --format github"], steps["report --format html"]
    print(f"\nThe page takes {page / text:.2f} times as long as the Markdown, from the command to the last byte.")
    print(
        f"It has {size / 2**20:.2f} MiB (asked: below {LARGEST / 2**20:.0f}; {'met' if size < LARGEST else 'not met'}) "
        f"of {len(found.records):,} records with {on_disk / 2**20:.2f} MiB on the disk."
    )


if __name__ == "__main__":
    main()
