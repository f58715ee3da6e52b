"""Settings of records: what they would be under a profile, and in which of them the values of a table differ."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.profiles import SCRATCH, Profile, resolve, shown_video
from jobs.cells import TRAINED, Cell
from jobs.recipe import Recipe
from jobs.spec import shown_videos
from jobs.wire import from_dict
from results.records import Record, by_name, setting

ACCURACIES = ("top1", "top5")
RUN_BY = ("nodes", "micro_batch", "zero_stage", "activation_checkpointing", "compile", "measure_steps", "decoders")
"""Keys of a profile's `train` beside the recipe that records of trainings have under the same names."""
COMPARED = (
    ("checkpoint of {model} on {dataset}", "checkpoint", ACCURACIES),
    ("label file of {dataset}", "dataset.labels_sha256", (*ACCURACIES, "clips_per_s_e2e")),
    ("label file of {dataset}", "evaluate.dataset.labels_sha256", ("top1_trained",)),
    ("precision", "precision", ACCURACIES),
    ("precision", "evaluate.precision", ("top1_trained",)),
    ("precision of timings", "precision", ("clips_per_s", "clips_per_s_e2e")),
    ("batch size of timings", "batch_size", ("clips_per_s", "clips_per_s_e2e")),
    ("first weights of {model} on {dataset}", "start", TRAINED),
    ("label file of trainings on {dataset}", "dataset.labels_sha256", TRAINED),
    *((f"{one.name} of trainings on {{dataset}}", f"recipe.{one.name}", TRAINED) for one in fields(Recipe)),
    *((f"{name} of trainings on {{dataset}}", name, TRAINED) for name in ("tasks_per_node", "gpus", *RUN_BY)),
)
"""What should be the same for all values of a table: its name, the setting, and the metrics that depend on it."""


def expected_settings(cell: dict[str, str], profile: Profile, runs: Path) -> dict[str, Any]:
    """The settings, by dotted name, that a record of `cell` has under this profile; those that need no file read."""
    if cell["metric"] == "gflops":
        return {"counter": profile.measure.counter}
    paths: dict[str, str] = {}
    found: dict[str, Any] = {}
    weights = profile.checkpoints.get(f"{cell['model']}/{cell['dataset']}")
    dataset = profile.datasets.get(cell["dataset"])
    if cell["metric"] in TRAINED:
        train, start = profile.train, profile.pretrained.get(f"{cell['model']}/{cell['dataset']}")
        recipe = train.recipe(mirror=dataset is None or dataset.mirror)
        found |= {f"recipe.{name}": value for name, value in asdict(recipe).items()}
        found |= {name: getattr(train, name) for name in RUN_BY} | {"gpus": profile.launch.gpus_per_task}
        if train.tasks_per_node:
            found["tasks_per_node"] = train.tasks_per_node
        if start == SCRATCH:
            found["start"] = start
        elif start:
            paths["start.path"] = start
        if cell["metric"] == "top1_trained":
            found["evaluate.precision"] = profile.evaluate.precision
    elif cell["metric"] in (*ACCURACIES, "tokens_kept"):
        found["precision"] = profile.evaluate.precision
        paths |= {"checkpoint.path": weights} if weights else {}
        if cell["metric"] == "tokens_kept":
            found["videos"] = shown_videos(shown_video(profile), profile.figures.videos)
    else:
        found |= {"precision": profile.measure.precision, "batch_size": profile.measure.batch_size}
    if dataset and not (cell["metric"] == "tokens_kept" and profile.video):
        paths["dataset.root"] = dataset.root
    for name, path in paths.items():
        with suppress(ValueError):  # a variable in it is not set here: it says nothing
            found[name] = str(resolve(path, profile, runs))
    return found


def answers(record: Record, profile: Profile) -> bool:
    """Whether a record may stand in its cell: a figure of one video says nothing of another, nor of what its file holds
    by now; where the file is no longer here, its path tells."""
    if record.cell["metric"] != "tokens_kept":
        return True
    video, shown = shown_video(profile), setting(record, "video_sha256")
    if not video:
        return not shown
    return setting(record, "videos") == video and _sha256(Path(video)) in (shown, "")


def meant(job: Mapping[str, Any], cells: Iterable[Cell], profile: Profile, runs: Path) -> list[Cell]:
    """Those of `cells` that a job, by the content of its file, answers under the settings of this profile, as far as
    that can be told: one that failed with other weights, or on another video, says nothing of what is asked for now."""
    try:
        planned = from_dict(job["spec"])
    except (KeyError, TypeError, ValueError):
        return list(cells)
    return [cell for cell in cells if not _departing(planned.settings(cell), vars(cell), profile, runs)]


def _departing(settings: Mapping[str, Any], cell: dict[str, str], profile: Profile, runs: Path) -> dict[str, Any]:
    """By name the settings that are others than the profile's, with the profile's values. Where the data lie is not
    among these, as a runs folder may have moved."""
    wanted = expected_settings(cell, profile, runs)
    wanted.pop("dataset.root", None)
    return {name: value for name, value in wanted.items() if by_name(settings, name) not in (None, value)}


def _sha256(path: Path) -> str:
    """Of a file's content; empty where it cannot be read."""
    try:
        found = path.stat()
        return _sha256_of(path, found.st_size, found.st_mtime_ns) if path.is_file() else ""
    except OSError:
        return ""


@lru_cache(maxsize=8)
def _sha256_of(path: Path, size: int, modified: int) -> str:
    """A page that is served asks for the same file again and again."""
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def differences(records: Iterable[Record]) -> list[str]:
    """A line for each setting in which the values of a table differ though they should not; models have checkpoints,
    and datasets label files, of their own."""
    values: dict[str, Counter[str]] = {}
    for record in records:
        for what, name, metrics in COMPARED:
            if record.cell["metric"] in metrics and (value := setting(record, name)) is not None:
                values.setdefault(what.format(**record.cell), Counter())[json.dumps(value, sort_keys=True)] += 1
    return [
        f"not all values were measured alike: the {what} is {_listed(what, counts)}"
        for what, counts in values.items()
        if len(counts) > 1
    ]


def departures(records: Iterable[Record], profile: Profile, runs: Path) -> list[str]:
    """A line where values were measured under other settings than the profile's, naming them."""
    found: Counter[str] = Counter()
    cells = 0
    for record in records:
        other = _departing(record.settings, record.cell, profile, runs)
        cells += bool(other)
        found.update(
            f"{name.removeprefix('recipe.')} {setting(record, name)}, not {value}" for name, value in other.items()
        )
    said = "; ".join(f"{text} ({count})" for text, count in found.items())
    return [f"{cells} cells were measured under other settings than this profile's: {said}"] if cells else []


def _listed(what: str, counts: Counter[str]) -> str:
    """Each value and how many cells have it; those that read the same are told apart as versions."""
    shown: dict[str, list[int]] = {}
    for text, count in counts.items():
        value = json.loads(text)
        if isinstance(value, dict):
            value = value.get("path")  # of weights
        elif what.startswith("label file"):
            value = f"sha256 {str(value)[:12]}"
        shown.setdefault(str(value), []).append(count)
    said = []
    for value, cells in shown.items():
        versions = f" in {len(cells)} versions" if len(cells) > 1 else ""
        said.append(f"{value}{versions} ({sum(cells)} cell{'s' * (sum(cells) > 1)})")
    return ", ".join(said)
