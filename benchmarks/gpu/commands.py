"""The harness's own commands on the device: the demo's Table 2, a short Table 1, and end to end, by their records."""

import os
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from benchmarks.gpu import RUNS
from benchmarks.gpu.place import Place, Result
from results.records import Record, read_records

TABLE = """
model = "vit_demo"
dataset = "motion"
views = "5x3"
[rows]
reduction = ["none"{more}]
[columns]
metric = ["clips_per_s_e2e", "clips_per_s"]
"""
ONE_EPOCH = ("train.short_epochs=0", "datasets.motion.prepare=", "datasets.motion.train_labels={runs}/data/val.txt")
"""Of the 64 videos that Table 2 has made, where Table 1 trains on 1024."""


def run(place: Place) -> None:
    headers = "command", "seconds", "cells filled", "device", "card, by the records", "some values"
    result = place.table("The harness's own commands", *headers)
    own = place.folder / "end-to-end.toml"
    own.write_text(TABLE.format(more="" if place.small else ', "sta:r=12"'))
    for table, settings, least in (("table2", (), 20), ("table1", ONE_EPOCH, 60), (str(own), (), 25)):
        place.attempt(result, f"sweep {Path(table).stem}", least, partial(_sweep, place, result, table, settings))


def _sweep(place: Place, result: Result, table: str, settings: tuple[str, ...]) -> None:
    """ValueError where the command fails, or where its records are of another device."""
    half = place.precisions[0]
    precision = "fp32" if place.device == "cpu" else half
    settings += f"evaluate.precision={precision}", f"measure.precision={precision}", f"train.precision={half}"
    if place.device == "cuda":
        cores = len(os.sched_getaffinity(0))
        settings += "launch.gpus_per_task=1", f"launch.cpus_per_task={cores}", f"evaluate.decoders={max(cores - 1, 1)}"
    if place.small:
        settings += ("measure.samples=5",)
    runs = place.folder / RUNS
    command = [sys.executable, "-m", "harness.sweep", table, "--runs", str(runs), *["--limit", "2"] * place.small]
    for one in settings:
        command += ["--set", one]
    before = {record.id for record in read_records(runs)[0]} if runs.exists() else set()
    done: list[subprocess.CompletedProcess[str]] = []
    seconds = place.seconds(lambda: done.append(subprocess.run(command, capture_output=True, text=True)))
    if done[0].returncode:
        raise ValueError(f"ended with {done[0].returncode}: {' '.join(done[0].stderr.split())[-250:]}")
    records = [record for record in read_records(runs)[0] if record.id not in before]
    devices, cards = _named(record.settings.get("device") for record in records), _named(map(_card, records))
    if place.device == "cuda" and "cuda" not in devices:
        raise ValueError(f"its records are not of the GPU: {devices}")
    said = [f"{one.cell['reduction']} {one.cell['metric']} {one.value:.4g}" for one in records[:4]]
    filled = (done[0].stdout.splitlines() or [""])[-1].partition(" cells")[0]
    result.add(Path(table).stem, f"{seconds:.1f}", filled, devices, cards, "; ".join(said))


def _card(record: Record) -> object:
    return record.provenance.get("machine", {}).get("gpu")


def _named(found: Iterable[object]) -> str:
    return ", ".join(sorted({str(one) for one in found if one})) or "none"
