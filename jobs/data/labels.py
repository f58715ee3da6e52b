"""The videos of a label file, each with the number of its class."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from jobs.data.classes import plain, read_classes
from jobs.data.lists import NUMBER, Row, VideoList, folder_of, parse

SAMPLED = 20
"""Videos by which it is decided whether they lie in folders of their classes."""


@dataclass(frozen=True)
class Item:
    """One labelled video."""

    index: int
    """Position in the list, blank lines left out."""
    path: str
    """As written in the label file, or as it follows from that: the id of the video in records and reports."""
    file: str
    """Path of the video: `path`, joined to the root of the data set."""
    label: int


def what_it_is(labels: str | Path) -> str:
    """What a list is taken for, in words."""
    return parse(_text(Path(labels)), str(labels)).taken_for


def class_names(labels: str | Path, classes: str = "") -> tuple[str, ...]:
    """The names of the classes in the order of their numbers; none where neither `classes` nor the list says them."""
    if classes:
        return read_classes(classes)
    rows = parse(_text(Path(labels)), str(labels)).rows
    return () if any(NUMBER.fullmatch(row.label) for row in rows) else tuple(sorted({row.label for row in rows}))


def number_of_classes(labels: str | Path, from_1: bool = False) -> int:
    """How many classes a list seems to have, by the largest number or the names that occur."""
    rows = parse(_text(Path(labels)), str(labels)).rows
    if rows and all(NUMBER.fullmatch(row.label) for row in rows):
        return max(int(row.label) for row in rows) + (not from_1)
    return len({row.label for row in rows})


def read_labels(
    labels: str | Path, root: str | Path, num_classes: int, classes: str = "", from_1: bool = False
) -> list[Item]:
    """The videos that the file `labels` lists, in its order; a relative path is relative to `root`.

    What the list may be, jobs/data/lists.py says. classes: a file of the classes' names, where labels are names, or a
    list says the class by its folders; without it names are numbered in alphabetical order, if there are as many as
    `num_classes`. from_1: its numbers count from 1, which is never assumed. A video that does not exist is listed all
    the same: its reader reports it. ValueError, with file and line, for a label file that cannot be read or lists
    nothing, a line without a path or label, a label that is no class or counts from 1, or a path that stands twice.
    """
    found = parse(_text(Path(labels)), str(labels))
    if not found.rows:
        raise ValueError(f"{labels} lists no videos")
    names = read_classes(classes) if classes else ()
    if names and len(names) != num_classes:
        raise ValueError(f"{classes} lists {len(names)} classes, and num_classes is {num_classes}")
    rows = [_minus_1(row) for row in found.rows] if from_1 else found.rows
    numbers = _numbers(rows, names, num_classes, str(labels), classes)
    base, folders = Path(root).absolute(), _folders(found, Path(root))
    items: list[Item] = []
    seen: dict[str, str] = {}
    for row, label, folder in zip(found.rows, numbers, folders, strict=True):
        path = f"{folder}{row.path}"
        if path in seen:
            raise ValueError(f"{row.where}: {path!r} is listed on {seen[path].rpartition(', ')[2]} already")
        seen[path] = row.where
        items.append(Item(len(items), path, str(base / path), label))
    return items


def _numbers(rows: Sequence[Row], names: Sequence[str], num_classes: int, labels: str, classes: str) -> list[int]:
    """The number of each row's class."""
    index = {plain(name): number for number, name in enumerate(names)}
    by_folder = [index.get(plain(folder_of(row.path))) for row in rows]
    if names and None not in by_folder:
        return _by_folder(rows, [number for number in by_folder if number is not None], index)
    if without := next((row for row in rows if not row.label), None):
        right = "its class; a list without labels needs datasets.NAME.classes, and a folder for each class"
        raise ValueError(f"{without.where}: {without.path!r} does not say {right}")
    if NUMBER.fullmatch(rows[0].label):
        return _by_number(rows, num_classes, labels)
    if not index:
        found = sorted({row.label for row in rows})
        if len(found) != num_classes:
            many = f"{labels} names {len(found)} classes, and num_classes is {num_classes}"
            raise ValueError(f"{many}; list all of them in their order in a file, and set datasets.NAME.classes to it")
        index = {plain(name): number for number, name in enumerate(found)}
    numbers = []
    for row in rows:
        if (number := index.get(plain(row.label))) is None:
            near = get_close_matches(plain(row.label), index, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{row.where}: {row.label!r} is no class in {classes or labels}{meant}")
        numbers.append(number)
    return numbers


def _minus_1(row: Row) -> Row:
    if not NUMBER.fullmatch(row.label):
        raise ValueError(f"{row.where}: the label {row.label!r} is not a whole number")
    return replace(row, label=str(int(row.label) - 1))


def _by_number(rows: Sequence[Row], num_classes: int, labels: str) -> list[int]:
    numbers = []
    for row in rows:
        if not NUMBER.fullmatch(row.label):
            raise ValueError(f"{row.where}: the label {row.label!r} is not a whole number")
        numbers.append(int(row.label))
    if max(numbers) == num_classes and min(numbers) == 1:
        counted = f"labels run from 1 to {num_classes}, and none is 0, so it seems to count classes from 1"
        raise ValueError(f"{labels}: {counted}; `python -m harness.datasets convert --from-1` subtracts 1 from each")
    for row, number in zip(rows, numbers, strict=True):
        if not 0 <= number < num_classes:
            raise ValueError(f"{row.where}: the label {number} is not in 0 … {num_classes - 1}")
    return numbers


def _by_folder(rows: Sequence[Row], numbers: list[int], index: dict[str, int]) -> list[int]:
    """The classes that folders are named after, checked by what the labels say: their numbers, from 0 or all from 1, or
    their names."""
    said = [int(row.label) if NUMBER.fullmatch(row.label) else index.get(plain(row.label)) for row in rows]
    first = 1 if rows[0].label == str(numbers[0] + 1) else 0
    for row, number, label in zip(rows, numbers, said, strict=True):
        own = number + first if NUMBER.fullmatch(row.label) else number
        if row.label and label != own:
            raise ValueError(
                f"{row.where}: the label {row.label} is not that of its folder, {folder_of(row.path)!r}, which is {own}"
            )
    return numbers


def _folders(found: VideoList, root: Path) -> list[str]:
    """What stands before each path: the folder of the class, where the first videos lie there and not in the root."""
    if not found.by_class:
        return [""] * len(found.rows)

    def there(folder: str) -> int:
        return sum((root / folder.format(*_spelled(row)) / row.path).exists() for row in found.rows[:SAMPLED])

    best = max(("", "{0}/", "{1}/"), key=there)
    return [best.format(*_spelled(row)) for row in found.rows]


def _spelled(row: Row) -> tuple[str, str]:
    return row.label, re.sub(r"\s+", "_", row.label)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error}") from None
    except OSError as error:
        raise ValueError(f"cannot read the label file {path}: {error.strerror}") from None
