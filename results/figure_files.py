"""The figures listed in a record of tokens kept; the record may be foreign, so nothing in it is trusted."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.records import Record

FILE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True)
class Drawn:
    """What was drawn of one video."""

    video: str
    folder: str
    """Relative to the runs folder; the files are there."""
    files: Sequence[str]
    stages: Sequence[tuple[int, int]]
    """Block and number of tokens kept after it, in order."""
    said: str
    """The class that the model predicted; empty if unknown."""


def figures_of(record: Record) -> list[Drawn]:
    """The figures that a record names, in order; those that lack what a figure has are left out."""
    listed = record.samples.get("figures")
    found = []
    for one in listed if isinstance(listed, list) else ():
        try:
            stages = [(int(stage["block"]), int(stage["kept"])) for stage in one["stages"]]
            files = [str(file) for file in one["files"] if FILE_NAME.fullmatch(str(file))]
            found.append(Drawn(str(one["video"]), str(one["folder"]), files, stages, _said(one)))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    return found


def _said(figure: Mapping[str, Any]) -> str:
    predicted, label = figure.get("predicted"), figure.get("label")
    if predicted is None:
        return ""
    sure = figure.get("probability")
    names = {key: f", {name}" if (name := figure.get(f"{key}_name")) else "" for key in ("predicted", "label")}
    said = f"predicted class {predicted}{names['predicted']}"
    said += f" ({100 * sure:.0f} %)" if isinstance(sure, float) else ""
    return said + (f"; labelled {label}{names['label']}" if label is not None else "")
