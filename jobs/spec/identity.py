"""What of a record's settings makes its identity: contents of inputs and how they are used, not where they are.

Records and jobs name paths too, so that a reader finds the files; the same weights, label list and videos in another
place give the same value. Imports nothing heavy.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from jobs.spec.kernels import TORCHS
from results.metrics import of_kind

PLACES = ("path", "labels", "classes", "root", "size", "modified_ns", "weights_stride")
"""Of weights and datasets: their paths, what records of earlier versions hold of their files, and what only says which
weights are accepted."""
SOURCES = ("checkpoint", "start", "dataset")


def inputs(settings: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """`settings` of a record of `metric`, or of the job that makes it, without what does not decide the value."""
    found = {name: value for name, value in settings.items() if name != "device"}
    if "attention" in found:  # records of before do not name the kernels that torch chooses
        found = {name: value for name, value in found.items() if vars(TORCHS).get(name, ...) != value}
    if metric in of_kind("accuracy", "cost", "content"):
        found.pop("batch_size", None)
    if found.get("video_sha256"):
        found.pop("videos", None)  # the path of the one video
    for name in SOURCES:
        if isinstance(value := found.get(name), Mapping):
            found[name] = {key: one for key, one in value.items() if key not in PLACES and one != ""}
    if isinstance(value := found.get("evaluate"), Mapping):
        found["evaluate"] = inputs(value, metric)
    return found


def identity(cell: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """The id of the record of a cell under `settings`: a short digest of plain data."""
    return digest({"cell": dict(cell), "settings": inputs(settings, cell["metric"])})


def digest(value: Any) -> str:
    """A short stable id of plain data."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
