"""Lists of labelled videos as people have them, taken apart into paths and labels, both as they are written.

What a list is, its own content decides: which character separates, whether the first line is a header, and whether it
is one of the official lists of Kinetics (CSV) or Something-Something V2 (JSON).
"""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PATH_WORDS = {"path", "file", "filename", "file_name", "video", "video_path", "video_name", "name", "clip"}
LABEL_WORDS = {"label", "labels", "class", "class_name", "class_id", "classname", "category", "target", "label_id"}
FRAMES_WORDS = {"frames", "num_frames", "total_frames", "n_frames", "start", "end", "start_frame", "end_frame"}
"""What the columns of a header are called."""
KINETICS = ("label", "youtube_id", "time_start", "time_end")
SUFFIX = re.compile(r"\.(mp4|m4v|mov|avi|mkv|webm|flv|ts|mts|mpg|mpeg|vob|wmv|3gp|ogv)$", re.IGNORECASE)
NUMBER = re.compile(r"-?[0-9]+")


@dataclass(frozen=True)
class Row:
    """One video of a list."""

    where: str
    """The list's name and the line, or the entry."""
    path: str
    label: str
    """A number, a class's name, or nothing, where the list says none."""


@dataclass(frozen=True)
class VideoList:
    """A list, and what it was taken for."""

    taken_for: str
    rows: list[Row]
    by_class: bool = False
    """Whether videos may also lie in a folder of their class's name."""


def count(text: str) -> int:
    """How many videos a list has, without a look at each; of JSON that cannot be read, none."""
    if text.lstrip().startswith(("[", "{")):
        try:
            return len(json.loads(text))
        except ValueError:
            return 0
    lines = [line for line in text.split("\n") if line.strip()]
    head = {field.strip().lower() for field in _fields(lines[0].strip("\r"), _separator(lines))} if lines else set()
    return len(lines) - _is_header(head)


def parse(text: str, name: str) -> VideoList:
    """The videos of a list; ValueError, with `name` and the line, where one cannot be told. Empty where it has none."""
    if text.lstrip().startswith(("[", "{")):
        return _something(text, name)
    lines = [(f"{name}, line {number}", line.strip("\r")) for number, line in enumerate(text.split("\n"), 1)]
    lines = [(where, line) for where, line in lines if line.strip()]
    if not lines:
        return VideoList("nothing", [])
    separator = _separator([line for _, line in lines])
    said = {" ": "spaces", ",": "commas", "\t": "tabs"}[separator]
    head = [field.strip().lower() for field in _fields(lines[0][1], separator)]
    if not _is_header(set(head)):
        _refuse_three(lines, separator)
        rows = [_row(where, line, separator) for where, line in lines]
        labelled = any(row.label for row in rows)
        return VideoList(
            f"path and label, separated by {said}" if labelled else "paths in folders of their class", rows
        )
    fields = [(where, _fields(line, separator)) for where, line in lines[1:]]
    if set(KINETICS) <= set(head):
        return VideoList("Kinetics' official list", [_kinetics(where, head, row) for where, row in fields], True)
    path, label = (next(k for k, one in enumerate(head) if one in words) for words in (PATH_WORDS, LABEL_WORDS))
    if frames := [one for one in head if one in FRAMES_WORDS]:
        raise ValueError(f"{lines[0][0]}: the column {frames[0]!r} is of lists of raw frames; videos are needed")
    rows = [Row(where, _at(row, path, where, head), _at(row, label, where, head)) for where, row in fields]
    return VideoList(f"columns {head[path]} and {head[label]}, separated by {said}", rows)


def _is_header(fields: set[str]) -> bool:
    return fields >= set(KINETICS) or bool(fields & PATH_WORDS and fields & LABEL_WORDS)


def _separator(lines: Sequence[str]) -> str:
    """The character that separates path and label, by the first line and, where that may be a header, the second."""
    for separator in ("\t", ","):
        for line in lines[:2]:
            fields = _fields(line, separator)
            words = {field.strip().lower() for field in fields}
            if len(fields) < 2:
                break
            if NUMBER.fullmatch(fields[-1].strip()) or SUFFIX.search(fields[0].strip()) or _is_header(words):
                return separator
    return " "


def _fields(line: str, separator: str) -> list[str]:
    if separator == " ":
        return line.split()
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True))


def _row(where: str, line: str, separator: str) -> Row:
    """The label follows the last separator, so a path may hold others; a path with no label has none."""
    if separator == " ":
        path, *rest = line.rsplit(maxsplit=1)
        path = path[1:-1] if len(path) > 1 and path[0] == path[-1] == '"' else path
        if not rest and "/" not in path:
            raise ValueError(f"{where}: {line.strip()!r} is not a path, a space and a label")
        return Row(where, path.strip() if not rest else path, rest[0] if rest else "")
    *parts, label = _fields(line, separator)
    if not parts:
        named = "comma" if separator == "," else "tab"
        raise ValueError(f"{where}: {line.strip()!r} is not a path, a {named} and a label")
    return Row(where, separator.join(parts).strip(), label.strip())


def _refuse_three(lines: Sequence[tuple[str, str]], separator: str) -> None:
    """ValueError where every line is a path, a whole number and a label, as lists of raw frames have them."""
    for _, line in lines:
        found = _fields(line, separator)
        if len(found) < 3 or not NUMBER.fullmatch(found[-2].strip()) or not NUMBER.fullmatch(found[-1].strip()):
            return
    raise ValueError(
        f"{lines[-1][0]}: three columns, as lists of raw frames have (path, frames, label); videos are needed"
    )


def _at(row: Sequence[str], column: int, where: str, head: Sequence[str]) -> str:
    if len(row) != len(head):
        raise ValueError(f"{where}: {len(row)} columns, where the header has {len(head)}")
    return row[column].strip()


def _kinetics(where: str, head: Sequence[str], row: Sequence[str]) -> Row:
    label, video, start, end = (_at(row, head.index(name), where, head) for name in KINETICS)
    try:
        times = f"{int(float(start)):06d}_{int(float(end)):06d}"
    except ValueError:
        raise ValueError(f"{where}: time_start and time_end must be seconds, not {start!r} and {end!r}") from None
    return Row(where, f"{video}_{times}.mp4", label)


def _something(text: str, name: str) -> VideoList:
    """Something-Something V2: a JSON list of videos with an id and a template of their label."""
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name} is not valid JSON: {error}") from None
    rows = []
    for number, entry in enumerate(entries if isinstance(entries, list) else [], 1):
        where = f"{name}, entry {number}"
        if not isinstance(entry, dict) or "id" not in entry:
            raise ValueError(f"{where}: an id is needed, as in Something-Something V2's lists")
        template = str(entry.get("template", entry.get("label", "")))
        rows.append(Row(where, f"{entry['id']}.webm", re.sub(r"[\[\]]", "", template)))
    return VideoList("Something-Something V2's official list", rows)


def hmdb51(folder: Path, split: int, train: bool) -> tuple[list[tuple[str, int]], int]:
    """Of HMDB51's lists, a file `CLASS_test_splitN.txt` a class, the videos `CLASS/FILE` with their numbers, and how
    many classes there are. In them 1 is for training, 2 for the test, 0 for neither."""
    files = sorted(folder.glob(f"*_test_split{split}.txt"))
    if not files:
        raise ValueError(f"{folder} has no lists of split {split}, as brush_hair_test_split{split}.txt")
    rows = []
    for number, file in enumerate(files):
        name = file.name.removesuffix(f"_test_split{split}.txt")
        for row in parse(file.read_text(encoding="utf-8-sig"), str(file)).rows:
            if row.label not in ("0", "1", "2"):
                raise ValueError(f"{row.where}: {row.label!r} is none of 0, 1 and 2")
            if row.label == ("1" if train else "2"):
                rows.append((f"{name}/{row.path}", number))
    return rows, len(files)


def folder_of(path: str) -> str:
    """The first folder of a relative path, which some data sets name after the class; empty where there is none."""
    parts = PurePosixPath(path).parts
    return parts[0] if len(parts) > 1 and not path.startswith("/") else ""
