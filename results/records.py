"""Records: one immutable JSON file for each value that a job measured, with all that went into it."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.files import read_json, write_json_once
from results.record_content import CELL_FIELDS as CELL_FIELDS
from results.record_content import STATUSES as STATUSES
from results.record_content import problem_of

if TYPE_CHECKING:
    import pandas

SCHEMA = 1

CellKey = tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """One measured value. `status` is partial where some of the listed videos could not be evaluated."""

    id: str
    """Names the file; letters, digits, `.`, `_` and `-`."""
    cell: dict[str, str]
    """Which value this is: model, reduction, dataset, views, metric."""
    value: float
    """In `unit`: percent for accuracies, GFLOPs (a multiply-add counts as one), or clips a second."""
    unit: str
    status: str
    """done, partial or projected."""
    profile: str
    job: str
    started: str
    """ISO 8601, UTC."""
    ended: str
    settings: dict[str, Any] = field(default_factory=dict)
    """What alters the value: checkpoint, label file, precision, batch size, attention kernel."""
    samples: dict[str, Any] = field(default_factory=dict)
    """The raw samples behind the value."""
    counts: dict[str, int] = field(default_factory=dict)
    """Videos `evaluated` of videos `listed`; empty where no videos are involved."""
    skipped: list[dict[str, str]] = field(default_factory=list)
    """Each video left out, as {"video": path, "reason": text}."""
    flags: list[str] = field(default_factory=list)
    """Doubts about the value, e.g. "IQR is 14 % of the median"."""
    notes: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    """`results.provenance.collect()`."""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if problem := problem_of(vars(self)):
            raise ValueError(f"record {self.id!r:.80}: {problem}")


def write_record(runs: Path, record: Record) -> Path:
    """Write a record and return its file. Where its id exists already, the first one written stays.

    A file in its place that is no record (cut short by a full disk, say) is moved aside, not deleted.
    """
    path = _folder(runs) / f"{record.id}.json"
    if not write_json_once(path, content_of(record)):
        try:
            _read(path)
        except ValueError:
            os.replace(path, path.with_suffix(".unreadable"))
            write_json_once(path, content_of(record))
    return path


def has_record(runs: Path, record_id: str) -> bool:
    """Return whether the record of that id is there, and whole."""
    try:
        _read(_folder(runs) / f"{record_id}.json")
    except (FileNotFoundError, ValueError):
        return False
    return True


def read_records(runs: Path) -> tuple[list[Record], list[str]]:
    """Return all records, ordered by id, and one line for each file that is not a record."""
    ignored: list[str] = []
    return list(each_record(runs, ignored)), ignored


def each_record(runs: Path, ignored: list[str]) -> Iterator[Record]:
    """Yield all records, ordered by id, for callers that keep but a part of each; `ignored` gets a line for each file
    that is not a record."""
    try:
        names = sorted(os.listdir(_folder(runs)))
    except FileNotFoundError:
        return
    except OSError as error:
        ignored.append(f"records cannot be listed: {error.strerror}")
        return
    for name in names:
        if name.startswith(".") or not name.endswith(".json"):
            continue
        try:
            yield _read(_folder(runs) / name)
        except FileNotFoundError:
            continue
        except ValueError as reason:
            ignored.append(f"records/{ascii(name)[1:-1]} is ignored: {reason}")


def record_ids(runs: Path) -> set[str]:
    """Return the ids of the records that seem to be there, by their names alone; cheap, for many and often."""
    try:
        names = os.listdir(_folder(runs))
    except FileNotFoundError:
        return set()
    return {name.removesuffix(".json") for name in names if name.endswith(".json") and not name.startswith(".")}


def cell_key(cell: Any) -> CellKey:
    """Return the five fields of a cell, given as a mapping or as an object with those attributes."""
    if isinstance(cell, Mapping):
        return tuple(cell[name] for name in CELL_FIELDS)
    return tuple(getattr(cell, name) for name in CELL_FIELDS)


def best_by_cell(
    records: Iterable[Record],
    expected: Callable[[dict[str, str]], Mapping[str, Any]] = lambda cell: {},
    inputs: Callable[[Record], str] = lambda record: json.dumps(record.settings, sort_keys=True),
    contents: Container[str] = (),
) -> dict[CellKey, Record]:
    """Return for each cell, by `cell_key`, the record to show; linear in the number of records.

    First come those with the fewest of the names in `contents` (digests of inputs) that differ from `expected(cell)`,
    then the fewest of these that they do not record; then the fewest other settings that differ, then the most that are
    the same; of those with different `inputs(record)`, then, the ones with the latest record. Of records with the same
    inputs measured comes before projected, then most videos, then the latest.
    """
    groups: dict[tuple[CellKey, str], list[Record]] = {}
    for record in records:
        groups.setdefault((cell_key(record.cell), inputs(record)), []).append(record)
    chosen: dict[CellKey, tuple[tuple[Any, ...], Record]] = {}
    for (key, _), group in groups.items():
        wanted = expected(group[0].cell)
        found = [(name in contents, setting(group[0], name), value) for name, value in wanted.items()]
        stale = sum(content and has not in (None, value) for content, has, value in found)
        unknown = sum(content and has is None for content, has, _ in found)
        other = sum(not content and has not in (None, value) for content, has, value in found)
        same = sum(has == value for _, has, value in found)
        rank = (-stale, -unknown, -other, same, *max((record.ended, record.id) for record in group))
        if key not in chosen or rank > chosen[key][0]:
            chosen[key] = rank, max(group, key=_rank)
    return {key: record for key, (_, record) in chosen.items()}


def setting(record: Record, name: str) -> Any:
    """Return a setting by its dotted name, as `dataset.root`; None where the record does not have it."""
    return by_name(record.settings, name)


def by_name(settings: Mapping[str, Any], name: str) -> Any:
    """Return a value by its dotted name; None where there is none. A text in place of a file's mapping stands
    for its digest: the `start.sha256` of a training that starts from scratch is `scratch`."""
    value: Any = settings
    for part in name.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif part != "sha256" or not isinstance(value, str):
            return None
    return value


def load_frame(runs: Path) -> pandas.DataFrame:
    """Return one row per record with flat columns, the settings as `settings.<name>`.

    Files that are not records are named in a UserWarning. `started` and `ended` are UTC timestamps.
    """
    import pandas

    records, ignored = read_records(runs)
    if ignored:
        warnings.warn("\n".join(ignored), stacklevel=2)
    columns = [
        *("id", *CELL_FIELDS, "value", "unit", "status", "evaluated", "listed", "skipped", "flags", "notes"),
        *("profile", "job", "started", "ended", "host", "cpu", "cores", "memory", "gpu", "driver"),
        *("commit", "dirty", "slurm_job"),
    ]
    rows = [_row(record) for record in records]
    extra = sorted({name for row in rows for name in row} - set(columns))
    frame = pandas.DataFrame(rows, columns=[*columns, *extra])
    for name in ("evaluated", "listed", "skipped"):
        frame[name] = frame[name].astype("Int64")
    for name in ("started", "ended"):
        frame[name] = pandas.to_datetime(frame[name], utc=True, errors="coerce", format="ISO8601")
    return frame


def _folder(runs: Path) -> Path:
    return Path(runs) / "records"


def _rank(record: Record) -> tuple[bool, int, str, str]:
    return record.status != "projected", record.counts.get("evaluated", 0), record.ended, record.id


def content_of(record: Record) -> dict[str, Any]:
    """What the file of a record holds."""
    return {name: getattr(record, name) for name in _NAMES}


def record_of(content: Mapping[str, Any]) -> Record:
    """The record of such a content; ValueError saying why it is none."""
    if content.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {content.get('schema')!r:.20}, this version reads {SCHEMA}")
    if missing := [name for name in _NAMES if name not in content]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    record = Record(**{name: content[name] for name in _NAMES})
    _complete(record)
    return record


def _read(path: Path) -> Record:
    record = record_of(read_json(path))
    if record.id != path.stem:
        raise ValueError(f"its id is {record.id}")
    return record


def _complete(record: Record) -> None:
    """Fill in the digest of the weights, which records of earlier versions have in another place; theirs of a folder
    was made in another way, and says nothing."""
    weights, digest = record.settings.get("checkpoint"), record.provenance.get("checkpoint_sha256")
    if isinstance(weights, dict) and digest and "sha256" not in weights and Path(str(weights.get("path"))).suffix:
        weights["sha256"] = digest


_NAMES = tuple(item.name for item in fields(Record))


def _row(record: Record) -> dict[str, Any]:
    machine, git, slurm = (as_dict(record.provenance.get(name)) for name in ("machine", "git", "slurm"))
    return {
        **{name: getattr(record, name) for name in ("id", "value", "unit", "status", "profile", "job")},
        **record.cell,
        **{name: record.counts.get(name) for name in ("evaluated", "listed")},
        **{name: machine.get(name) for name in ("host", "cpu", "cores", "memory", "gpu", "driver")},
        **{name: git.get(name) for name in ("commit", "dirty")},
        "skipped": len(record.skipped),
        "flags": "; ".join(map(str, record.flags)),
        "notes": "; ".join(map(str, record.notes)),
        "slurm_job": slurm.get("job_id"),
        "started": record.started,
        "ended": record.ended,
        **{
            f"settings.{name}": value
            for name, value in record.settings.items()
            if isinstance(value, str | int | float | bool)
        },
    }


def as_dict(part: Any) -> dict[str, Any]:
    """Return a part of a record as it is, or nothing where it is no dict: only what `Record` types is checked."""
    return part if isinstance(part, dict) else {}
