"""Settings of records: what they would be under a profile, and in which of them the values of a table differ."""

import json
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.profiles import Profile, resolve
from results.records import Record, setting

ACCURACIES = ("top1", "top5")
COMPARED = (
    ("checkpoint", "checkpoint", ACCURACIES),
    ("label file", "dataset.labels_sha256", (*ACCURACIES, "clips_per_s_e2e")),
    ("precision", "precision", ACCURACIES),
    ("precision of timings", "precision", ("clips_per_s", "clips_per_s_e2e")),
    ("batch size of timings", "batch_size", ("clips_per_s", "clips_per_s_e2e")),
)
"""What should be the same for all values of a table: its name, the setting, and the metrics that depend on it."""


def expected_settings(cell: dict[str, str], profile: Profile, runs: Path) -> dict[str, Any]:
    """The settings, by dotted name, that a record of `cell` has under this profile; those that need no file read."""
    if cell["metric"] == "gflops":
        return {"counter": profile.measure.counter}
    paths: dict[str, str] = {}
    found: dict[str, Any] = {}
    weights = profile.checkpoints.get(f"{cell['model']}/{cell['dataset']}")
    if cell["metric"] in ACCURACIES:
        found["precision"] = profile.evaluate.precision
        paths |= {"checkpoint.path": weights} if weights else {}
    else:
        found |= {"precision": profile.measure.precision, "batch_size": profile.measure.batch_size}
    if dataset := profile.datasets.get(cell["dataset"]):
        paths["dataset.root"] = dataset.root
    for name, path in paths.items():
        with suppress(ValueError):  # a variable in it is not set here: it says nothing
            found[name] = str(resolve(path, profile, runs))
    return found


def differences(records: Iterable[Record]) -> list[str]:
    """A line for each setting in which the values of a table differ though they should not; models have checkpoints,
    and datasets label files, of their own."""
    values: dict[tuple[str, str], Counter[str]] = {}
    for record in records:
        model, dataset, metric = (record.cell[name] for name in ("model", "dataset", "metric"))
        for what, name, metrics in COMPARED:
            if metric in metrics and (value := setting(record, name)) is not None:
                of = {"checkpoint": f" of {model} on {dataset}", "label file": f" of {dataset}"}.get(what, "")
                values.setdefault((what, of), Counter())[json.dumps(value, sort_keys=True)] += 1
    return [
        f"not all values were measured alike: the {what}{of} is {_listed(what, counts)}"
        for (what, of), counts in values.items()
        if len(counts) > 1
    ]


def _listed(what: str, counts: Counter[str]) -> str:
    """Each value and how many cells have it; those that read the same are told apart as versions."""
    shown: dict[str, list[int]] = {}
    for text, count in counts.items():
        value = json.loads(text)
        if what == "checkpoint" and isinstance(value, dict):
            value = value.get("path")
        elif what == "label file":
            value = f"sha256 {str(value)[:12]}"
        shown.setdefault(str(value), []).append(count)
    said = []
    for value, cells in shown.items():
        versions = f" in {len(cells)} versions" if len(cells) > 1 else ""
        said.append(f"{value}{versions} ({sum(cells)} cell{'s' * (sum(cells) > 1)})")
    return ", ".join(said)
