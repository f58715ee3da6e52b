"""In which settings the values of a table differ, from each other and from what the profile says."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from harness.planning.present import CONTENTS, RUN_BY, SEED, Present
from harness.planning.text import plural
from jobs.spec.cells import Cell
from jobs.spec.recipe import Recipe
from jobs.spec.wire import from_dict
from results.metrics import of_job
from results.records import Record, by_name, cell_key, setting
from results.seeds import seed_of

ACCURACIES, TRAINED, TIMINGS = of_job("evaluate"), of_job("train"), of_job("measure")
COMPARED = (
    ("checkpoint of {model} on {dataset}", "checkpoint", ACCURACIES),
    ("label file of {dataset}", "dataset.labels_sha256", (*ACCURACIES, "clips_per_s_e2e")),
    ("label file of {dataset}", "evaluate.dataset.labels_sha256", ("top1_trained",)),
    ("precision", "precision", ACCURACIES),
    ("precision", "evaluate.precision", ("top1_trained",)),
    ("precision of timings", "precision", TIMINGS),
    ("torch.compile", "compile", ACCURACIES),
    ("torch.compile of timings", "compile", TIMINGS),
    ("attention kernel", "attention", ACCURACIES),
    ("attention kernel of timings", "attention", TIMINGS),
    ("batch size of timings", "batch_size", tuple(name for name in TIMINGS if name != "latency_ms")),
    ("first weights of {model} on {dataset}", "start", TRAINED),
    ("label file of trainings on {dataset}", "dataset.labels_sha256", TRAINED),
    *((f"{one.name} of trainings on {{dataset}}", f"recipe.{one.name}", TRAINED) for one in fields(Recipe)),
    *((f"{name} of trainings on {{dataset}}", name, TRAINED) for name in ("tasks_per_node", "gpus", *RUN_BY)),
)
"""What should be the same for all values of a table: its name, the setting, and the metrics that depend on it."""


def meant(job: Mapping[str, Any], cells: Iterable[Cell], present: Present, seed: int | None = None) -> list[Cell]:
    """Those of `cells` that a job, by the content of its file, answers with the present settings and inputs, as far as
    that can be seen: one that failed with other weights, or on another video, says nothing about what is asked for
    now. A `seed` stands in place of the profile's."""
    try:
        planned = from_dict(job["spec"])
    except (KeyError, TypeError, ValueError):
        return list(cells)
    return [cell for cell in cells if not _departing(planned.settings(cell), vars(cell), present, seed)]


def _departing(settings: Mapping[str, Any], cell: dict[str, str], present: Present, seed: int | None) -> dict[str, Any]:
    """By name the settings that are others than the present ones, with the present values."""
    wanted = present.settings(cell, seed)
    return {name: value for name, value in wanted.items() if by_name(settings, name) not in (None, value)}


def differences(records: Iterable[Record], seeds: Sequence[int] = ()) -> list[str]:
    """A line for each setting in which the values of a table differ though they should not; models have checkpoints,
    and datasets label files, of their own, and trainings a seed, where the table asks for several `seeds`."""
    values: dict[str, dict[str, tuple[str, int]]] = {}
    for record in records:
        for what, name, metrics in COMPARED:
            if seeds and name == SEED:
                continue
            if record.cell["metric"] in metrics and (value := setting(record, name)) is not None:
                told_by, shown = _told(name, value)
                found = values.setdefault(what.format(**record.cell), {})
                shown, count = found.get(told_by, (shown, 0))
                found[told_by] = shown, count + 1
    return [
        f"not all values were measured alike: the {what} is {_listed(found.values())}"
        for what, found in values.items()
        if len(found) > 1
    ]


def _told(name: str, value: Any) -> tuple[str, str]:
    """What distinguishes a setting's value from others, and how it is shown: weights by content, and by their path."""
    if isinstance(value, Mapping):
        return json.dumps(value.get("sha256") or value, sort_keys=True), str(value.get("path"))
    shown = f"sha256 {str(value)[:12]}" if name.endswith("sha256") else str(value)
    return json.dumps(value, sort_keys=True), shown


def departures(records: Iterable[Record], present: Present, seeds: Sequence[int] = ()) -> list[str]:
    """A line where values were measured under other settings than the profile's, naming them; contents of inputs are
    not among these, as each value is flagged that is of other ones (`Present.marked`). A line more where videos were
    read from another folder, as only their list is distinguished by content. Where the table asks for several `seeds`,
    none of them is another setting."""
    found: Counter[str] = Counter()
    moved: Counter[tuple[str, str, str]] = Counter()
    cells = set()
    for record in records:
        seed = seed_of(record.settings)
        other = _departing(record.settings, record.cell, present, seed if seed in seeds else None)
        other = {name: value for name, value in other.items() if name not in CONTENTS}
        if other:
            cells.add(cell_key(record.cell))
        found.update(
            f"{name.removeprefix('recipe.')} {setting(record, name)}, not {value}" for name, value in other.items()
        )
        root, was = present.root(record.cell), setting(record, "dataset.root")
        if root and was and was != root:
            moved[record.cell["dataset"], was, root] += 1
    said = "; ".join(f"{text} ({count})" for text, count in found.items())
    of_cells = f"{plural(len(cells), 'cell')} {'was' if len(cells) == 1 else 'were'} measured"
    notes = [f"{of_cells} under other settings than this profile's: {said}"] if cells else []
    unchecked = "that they are the same videos was not checked; other videos need a dataset of another name"
    notes += [
        f"{plural(count, 'cell')} read the videos of {name} in {was}, which this profile has in {root}: {unchecked}"
        for (name, was, root), count in moved.items()
    ]
    return notes


def _listed(values: Iterable[tuple[str, int]]) -> str:
    """Each value and how many cells have it; those that read the same are distinguished as versions."""
    shown: dict[str, list[int]] = {}
    for text, count in values:
        shown.setdefault(text, []).append(count)
    said = []
    for text, cells in shown.items():
        versions = f" in {len(cells)} versions" if len(cells) > 1 else ""
        said.append(f"{text}{versions} ({plural(sum(cells), 'cell')})")
    return ", ".join(said)
