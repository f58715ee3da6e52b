"""The harness's own commands on the device: the demo's Table 2, a short Table 1, and end to end, by their records."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.place import Place, Result
from results.records import read_records

TABLE = """
model = "vit_demo"
dataset = "motion"
views = "5x3"
[rows]
reduction = ["none"{more}]
[columns]
metric = ["clips_per_s_e2e", "clips_per_s"]
"""


def run(place: Place) -> list[Result]:
    """The records name the card; ValueError where a command fails."""
    precision = "fp32" if place.device == "cpu" else "bf16"
    settings = [f"evaluate.precision={precision}", f"measure.precision={precision}"]
    if place.device == "cuda":
        settings.append("launch.gpus_per_task=1")
    result = Result("The harness's own commands", ["command", "seconds", "records", "device", "some values"])
    table = place.folder / "end-to-end.toml"
    table.write_text(TABLE.format(more="" if place.small else ', "sta:r=12"'))
    commands = [[str(table), *(["--set", "measure.samples=5"] if place.small else [])]]
    if not place.small:  # these only cost time where nothing is new: the harness's own tests run them
        commands += [["table2"], ["table1", "--set", "train.measure_steps=10"]]
    for number, arguments in enumerate(commands):
        if place.left < 20 and not place.small:
            result.notes.append(f"left out, as time ran out: sweep {arguments[0]}")
            continue
        _sweep(place, result, arguments, settings, place.folder / f"runs{number}")
    return [result]


def _sweep(place: Place, result: Result, arguments: list[str], settings: list[str], runs: Path) -> None:
    command = [sys.executable, "-m", "harness.sweep", *arguments, "--runs", str(runs)]
    for one in settings:
        command += ["--set", one]
    done: list[subprocess.CompletedProcess[str]] = []
    seconds = place.seconds(
        lambda: done.append(subprocess.run(command, capture_output=True, text=True, timeout=max(place.left, 60) + 60))
    )
    if done[0].returncode:
        raise ValueError(f"sweep {arguments[0]} ended with {done[0].returncode}: {done[0].stderr.strip()[-400:]}")
    records = read_records(runs)[0]
    cards = {str(record.provenance.get("machine", {}).get("gpu")) for record in records}
    kinds = {str(record.settings.get("device")) for record in records if record.settings.get("device")}
    said = [f"{one.cell['reduction']} {one.cell['metric']} {one.value:.4g}" for one in records[:4]]
    name, devices = Path(arguments[0]).name, ", ".join(sorted(kinds))
    result.rows.append([name, f"{seconds:.1f}", len(records), devices, "; ".join(said)])
    result.notes.append(f"{name}: card by its records: {', '.join(sorted(cards))}")
    if place.device == "cuda" and "cuda" not in kinds:
        raise ValueError(f"the records of {arguments[0]} are not of the GPU: {json.dumps(sorted(kinds))}")
