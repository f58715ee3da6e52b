"""Label files: `<path> <label>` a line."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Item:
    """One labelled video."""

    index: int
    """Position in the list, blank lines left out."""
    path: str
    """As written in the label file: the id of the video in records and reports."""
    file: str
    """Path of the video: `path`, joined to the root of the data set."""
    label: int


def read_labels(labels: str | Path, root: str | Path, num_classes: int) -> list[Item]:
    """The videos that the file `labels` lists, in its order; a relative path is relative to `root`.

    The label follows the last space, so a path may hold spaces; blank lines are skipped. A video that does not exist
    is listed all the same: its reader reports it. ValueError, with file and line, for a label file that cannot be
    read or lists nothing, and for a line without a path or label, a label that is not a whole number below
    `num_classes`, or a path that stands twice.
    """
    items: list[Item] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(_lines(Path(labels)), 1):
        if not line.strip():
            continue
        where = f"{labels}, line {number}"
        path, *rest = line.rsplit(maxsplit=1)
        if not rest:
            raise ValueError(f"{where}: {line.strip()!r} is not a path, a space and a label")
        if not re.fullmatch(r"-?[0-9]+", rest[0]):
            raise ValueError(f"{where}: the label {rest[0]!r} is not a whole number")
        label = int(rest[0])
        if not 0 <= label < num_classes:
            raise ValueError(f"{where}: the label {label} is not in 0 … {num_classes - 1}")
        if path in lines:
            raise ValueError(f"{where}: {path!r} is listed on line {lines[path]} already")
        lines[path] = number
        items.append(Item(len(items), path, str(Path(root).absolute() / path), label))
    if not items:
        raise ValueError(f"{labels} lists no videos")
    return items


def _lines(path: Path) -> list[str]:
    try:
        return _content(path).decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error}") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read the label file {path}: {error.strerror}") from None
