"""What a profile's settings and inputs are at present, to hold records against: which of them are of other inputs."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.profiles import SCRATCH, Dataset, Profile, resolve, shown_video
from jobs.spec.cells import Cell, by_content, code_of, is_known, job_kind, stride_of
from jobs.spec.identity import inputs
from jobs.spec.sources import Checkpoint, edition_of, shown_videos
from results.digests import content_sha256
from results.metrics import METRICS
from results.records import Record, setting

RUN_BY = ("nodes", "micro_batch", "zero_stage", "activation_checkpointing", "compile", "measure_steps", "decoders")
"""Keys of a profile's `train` beside the recipe that records of trainings have under the same names."""
SEED = "recipe.seed"
"""The setting of a training that its runs in one table may differ in."""
CONTENTS = {
    "method": "code of {reduction}",
    "plugin": "code of {model} or {metric}",
    "checkpoint.sha256": "weights of {model} on {dataset}",
    "start.sha256": "first weights of {model} on {dataset}",
    "dataset.labels_sha256": "label list of {dataset}",
    "evaluate.dataset.labels_sha256": "test label list of {dataset}",
    "dataset.edition": "videos of {dataset}",
    "evaluate.dataset.edition": "test videos of {dataset}",
    "video_sha256": "video",
}
"""What is distinguished by its content, by the setting that has its digest or says which edition it is."""
_SHA256 = re.compile("[0-9a-f]{12,64}")


def same_inputs(record: Record) -> str:
    """What records have in common that are of the same inputs and settings, though of more or fewer of the videos."""
    found = inputs(record.settings, record.cell["metric"]) | {"limit": 0}
    if isinstance(evaluated := found.get("evaluate"), Mapping):
        found["evaluate"] = dict(evaluated) | {"limit": 0}
    return json.dumps(found, sort_keys=True)


class Present:
    """The settings that records would have under a profile, its files as they are now.

    `unknown` says, a line each, which files could not be read, so that nothing is known of whether a value is of them.
    """

    def __init__(self, profile: Profile, runs: Path) -> None:
        self.profile, self.runs = profile, runs
        self.unknown: dict[str, None] = {}
        self._settings: dict[tuple[str, ...], dict[str, Any]] = {}
        self._digests: dict[str, str] = {}

    def settings(self, cell: Mapping[str, str], seed: int | None = None) -> dict[str, Any]:
        """By dotted name, what a record of `cell` has if it is measured now; without what is not known. A `seed` stands
        in place of the profile's."""
        key = tuple(cell[name] for name in ("model", "reduction", "dataset", "metric"))
        if key not in self._settings:
            found = self._found(Cell(**cell))
            self._settings[key] = {name: value for name, value in found.items() if value or name not in CONTENTS}
        found = self._settings[key]
        return found if seed is None else found | {SEED: seed}

    def answers(self, record: Record) -> bool:
        """Whether a record may stand in its cell: a figure of one video says nothing of another, nor of what its file
        holds by now; if the file is no longer here, its path decides."""
        if record.cell["metric"] != "tokens_kept":
            return True
        video, shown = shown_video(self.profile), setting(record, "video_sha256")
        if not video or not shown:
            return bool(video) == bool(shown)
        digest = self._digest(video, [Path(video)])
        return bool(shown == digest if digest else setting(record, "videos") == video)

    def root(self, cell: Mapping[str, str]) -> str:
        """Where the videos of a cell lie; empty where it has none, or they are generated and distinguished by that."""
        dataset = self.profile.datasets.get(cell["dataset"])
        if dataset is None or dataset.prepare or (cell["metric"] == "tokens_kept" and self.profile.video):
            return ""
        try:
            return str(resolve(dataset.root, self.profile, self.runs))
        except ValueError:
            return ""  # a variable in it is not set here, as `unknown` says of its label file

    def others(self, record: Record) -> dict[str, str]:
        """By what they are called, the contents that are not the present ones, with both digests."""
        wanted = self.settings(record.cell)
        found = {}
        for name, what in CONTENTS.items():
            was, now = setting(record, name), wanted.get(name)
            if name.endswith("edition") and setting(record, name.replace("edition", "labels_sha256")):
                was = was or "which ones is not recorded"
            if name.endswith(".sha256") and isinstance(setting(record, name.removesuffix(".sha256")), Mapping):
                was = was or "which ones is not recorded"
            if was and now and was != now:
                texts = [f"sha256 {one[:12]}" if _SHA256.fullmatch(one) else one for one in (was, now)]
                found[what.format(**record.cell)] = ", now ".join(texts)
        return found

    def marked(self, record: Record) -> Record:
        """The record, flagged where it is of other inputs than the present ones."""
        if not (others := self.others(record)):
            return record
        named = "; ".join(f"{what} ({digests})" for what, digests in others.items())
        return replace(record, flags=[*record.flags, f"measured with inputs that have changed since: {named}"])

    def _found(self, cell: Cell) -> dict[str, Any]:
        if not is_known(cell):
            return {}
        profile, key = self.profile, f"{cell.model}/{cell.dataset}"
        found: dict[str, Any] = dict(code_of(cell.model, cell.reduction, cell.metric))
        if job_kind(cell) == "count":
            return found | {"counter": profile.measure.counter}
        dataset = profile.datasets.get(cell.dataset)
        if METRICS[cell.metric].job == "train":
            return found | self._of_training(cell, dataset)
        if METRICS[cell.metric].job == "measure":
            batch = 1 if cell.metric == "latency_ms" else profile.measure.batch_size
            found |= {"precision": profile.measure.precision, "batch_size": batch}
            found |= {"compile": profile.measure.compile, "attention": profile.measure.attention}
            if by_content(cell.metric, cell.reduction) and key in profile.checkpoints:
                found["checkpoint.sha256"] = self._weights(profile.checkpoints[key])
        else:
            found["precision"] = profile.evaluate.precision
            if cell.metric != "tokens_kept":
                found |= {"compile": profile.evaluate.compile, "attention": profile.evaluate.attention}
            if key in profile.checkpoints:
                found["checkpoint.sha256"] = self._weights(profile.checkpoints[key])
        video = shown_video(profile) if cell.metric == "tokens_kept" else ""
        if video:
            found["video_sha256"] = self._digest(video, [Path(video)])
        elif cell.metric == "tokens_kept":
            found["videos"] = shown_videos("", profile.figures.videos)
        return found | self._of_dataset(cell, dataset, "dataset", labels=not video)

    def _of_training(self, cell: Cell, dataset: Dataset | None) -> dict[str, Any]:
        profile, train = self.profile, self.profile.train
        recipe = train.recipe(mirror=dataset is None or dataset.mirror)
        found = {f"recipe.{name}": value for name, value in asdict(recipe).items()}
        found |= {name: getattr(train, name) for name in RUN_BY} | {"gpus": profile.launch.gpus_per_task}
        if train.tasks_per_node:
            found["tasks_per_node"] = train.tasks_per_node
        start = profile.pretrained.get(f"{cell.model}/{cell.dataset}")
        if start == SCRATCH:
            found["start"] = start
        elif start:
            found["start.sha256"] = self._weights(start)
        if cell.metric == "top1_trained":
            found["evaluate.precision"] = profile.evaluate.precision
            found |= self._of_dataset(cell, dataset, "evaluate.dataset")
        return found | self._of_dataset(cell, dataset, "dataset", train=True)

    def _of_dataset(
        self, cell: Cell, dataset: Dataset | None, name: str, labels: bool = True, train: bool = False
    ) -> dict[str, Any]:
        if dataset is None:
            return {}
        found: dict[str, Any] = {f"{name}.{key}": getattr(dataset, key) for key in ("num_classes", "sampling")}
        found[f"{name}.stride"] = stride_of(cell.model, dataset.stride)
        path = dataset.train_labels if train else dataset.labels
        if labels and path:
            found[f"{name}.labels_sha256"] = self._digest(path, classes=dataset.classes)
            if dataset.prepare and found[f"{name}.labels_sha256"]:
                found[f"{name}.edition"] = edition_of(resolve(path, self.profile, self.runs))
        return found

    def _weights(self, path: str) -> str:
        if path not in self._digests:
            try:
                self._digests[path] = Checkpoint.of(resolve(path, self.profile, self.runs), self.runs).sha256
            except (OSError, ValueError) as error:
                self._miss(path, error)
        return self._digests[path]

    def _digest(self, path: str, files: Sequence[Path] = (), classes: str = "") -> str:
        if path not in self._digests:
            try:
                files = files or [resolve(one, self.profile, self.runs) for one in (path, classes) if one]
                self._digests[path] = content_sha256(files, self.runs)
            except (OSError, ValueError) as error:
                self._miss(path, error)
        return self._digests[path]

    def _miss(self, path: str, error: OSError | ValueError) -> None:
        self._digests[path] = ""
        why = error.strerror if isinstance(error, OSError) else str(error).partition(": ")[2]
        self.unknown[f"{path} ({why})"] = None
