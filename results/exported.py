"""Records in one file, to be handed on: written with a digest, and read again only where it is right."""

import hashlib
import json
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from results.files import write_json
from results.provenance import utc_now
from results.records import Record, content_of, read_records, record_of, write_record

FORMAT, VERSION = "video-token-harness records", 1
IMPORTED = "imported"
"""What the provenance of a record from such a file says under this name: from which file, of when and where."""


@dataclass(frozen=True)
class Exported:
    """What such a file holds."""

    records: tuple[Record, ...]
    written: str
    """When, as ISO 8601 in UTC."""
    host: str


def write_exported(path: Path, records: Iterable[Record]) -> int:
    """Write records to a file, and return how many. FileExistsError where there is one already."""
    if path.exists():
        raise FileExistsError(f"{path} is there already; give another name")
    contents = [content_of(record) for record in sorted(records, key=lambda one: one.id)]
    head = {"format": FORMAT, "version": VERSION, "written": utc_now(), "host": socket.gethostname()}
    write_json(path, {**head, "sha256": _digest(contents), "records": contents})
    return len(contents)


def read_exported(path: Path) -> Exported:
    """The records of such a file. ValueError saying what is wrong with it, OSError where it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        content = None
    except ValueError:
        raise ValueError(f"{path} is damaged: it is not whole JSON") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is no file of `python -m harness.export`")
    if content.get("version") != VERSION:
        raise ValueError(f"{path} is of version {content.get('version')!r:.20}, and this harness reads {VERSION}")
    contents = content.get("records")
    if not isinstance(contents, list) or _digest(contents) != content.get("sha256"):
        raise ValueError(f"{path} is damaged: its records do not have the digest that it states")
    try:
        records = tuple(record_of(one) for one in contents)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds what is no record: {error}") from None
    return Exported(records, str(content.get("written")), str(content.get("host")))


def import_records(path: Path, runs: Path) -> tuple[int, int]:
    """Add the records of such a file to a runs folder, marked as from it; returns how many were added, and how many
    were there already. ValueError, and nothing is added, where one is there with another content."""
    found = read_exported(path)
    there = {record.id: record for record in read_records(runs)[0]}
    mark = {IMPORTED: {"file": path.name, "written": found.written, "host": found.host}}
    if clash := [one.id for one in found.records if one.id in there and not same(one, there[one.id])]:
        named = ", ".join(clash[:3]) + f" and {len(clash) - 3} more" * (len(clash) > 3)
        raise ValueError(f"{runs} has other records of the same ids: {named}; nothing was imported")
    new = [record for record in found.records if record.id not in there]
    for record in new:
        write_record(runs, replace(record, provenance=mark | record.provenance))
    return len(new), len(found.records) - len(new)


def same(one: Record, other: Record) -> bool:
    """Whether two records are the same measurement, whichever way they came here."""
    return _bare(one) == _bare(other)


def _bare(record: Record) -> Record:
    return replace(record, provenance={key: what for key, what in record.provenance.items() if key != IMPORTED})


def _digest(contents: Sequence[object]) -> str:
    text = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
