"""What a report says of the trainings behind a table: hours and what they are made of, and the speed-up of a step."""

from collections.abc import Iterable, Sequence
from typing import Any

from harness.planning.text import plural, significant
from results.records import Record
from results.seeds import Seed, seed_of

TIMES = ("train_hours", "train_step_s", "train_hours_projected")
GIB = 2**30


def training_notes(shown: Iterable[tuple[str, Record]], seeds: Sequence[int] = ()) -> list[str]:
    """A line for each row's training, then a line for each but the first of a model and dataset, and of each of the
    table's `seeds`, that compares the two; `shown` are the labels of rows and runs and their records, in order."""
    trainings: dict[str, Record] = {}
    for row, record in shown:
        if record.cell["metric"] in TIMES and record.samples.get("step_s"):
            trainings.setdefault(row, record)
    notes = [_told(row, record) for row, record in trainings.items()]
    first: dict[tuple[str, str, Seed], str] = {}
    for row, record in trainings.items():
        seed = seed_of(record.settings) if seeds else None
        base = first.setdefault((record.cell["model"], record.cell["dataset"], seed), row)
        if base != row:
            notes.append(f"{row} against {base}: {_compared(record.samples, trainings[base].samples)}")
    return notes


def speed_up(samples: dict[str, Any], base: dict[str, Any]) -> tuple[float, float | None]:
    """How many times as fast a training step is as that of `base`, and how many times fewer FLOPs its model has, None
    where those hang on the clips; both for as many clips, from the samples of two trainings' records."""
    seconds, before = (one["step_s"]["median"] / one["clips_per_step"] for one in (samples, base))
    known = base["gflops"] and samples["gflops"]
    return before / seconds, base["gflops"] / samples["gflops"] if known else None


def _told(row: str, record: Record) -> str:
    samples = record.samples
    gpu = record.provenance.get("machine", {}).get("gpu") if samples["device"] == "cuda" else None
    segments, processes, step = len(samples["segments"]), samples["processes"], samples["step_s"]
    took = f"{plural(segments, 'segment')} on {plural(processes, 'process')} ({gpu or samples['device']})"
    total, of = samples["gpu_hours"], "GPU-hours"
    if total is None:
        total, of = samples["process_hours"], "process-hours"
    said = [f"{significant(samples['hours'])} h in {took}, {significant(total)} {of}"]
    if record.settings.get("measure_steps"):
        said[0] = f"a median over {plural(step['steps'], 'step')} on whole clips, {said[0]}"
    said = [*_recipe(record), *said]
    said.append(f"{100 * samples['data_share']:.0f} % of it waiting for data")
    beside = {"queue": "queueing", "startup": "start-up", "evaluate": "evaluation"}
    beside |= {"repeated": "steps done again after a kill"}
    times = [(samples[f"{name}_s"], what) for name, what in beside.items()]
    if counted := [f"{significant(seconds, 2)} s of {what}" for seconds, what in times if seconds]:
        said.append(f"beside it {', '.join(counted)}")
    peak = max(samples["peak_memory"]) / GIB
    said.append(f"peak memory {significant(peak, 2)} GiB a process")
    return f"{row}: {'; '.join(said)}"


def _recipe(record: Record) -> list[str]:
    """The recipe in a few words."""
    recipe = record.settings.get("recipe")
    if not recipe:
        return []
    text = f"{recipe['epochs'] + recipe['short_epochs']:g} epochs"
    if recipe["short_epochs"]:
        text += f", {recipe['short_epochs']:g} of them on clips of {recipe['short_frames']} frames,"
    start = "from scratch" if record.settings.get("start") == "scratch" else "from pre-trained weights"
    return [f"{text} at a batch of {recipe['batch']} videos × {recipe['repeats']} clips, {start}"]


def _compared(samples: dict[str, Any], base: dict[str, Any]) -> str:
    speed, fewer = speed_up(samples, base)
    flops = "its FLOPs depend on what the clips show"
    if fewer is not None:
        flops = f"its model has {fewer:.2f} × fewer FLOPs ({speed / fewer:.2f} of that)"
    return f"a training step is {speed:.2f} × as fast, {flops}"
