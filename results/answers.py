"""Which videos an accuracy rests on, one by one: kept in its record, so that two of them can be compared over the same
videos without any other file."""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from results.records import Record

NAME = "answers"
"""Under which they stand in a record's samples."""
_MOST = 10**8
"""Videos of a list, at most: what a damaged record claims must fit into memory."""


@dataclass(frozen=True)
class Answers:
    """A bit a video: of the number `right`, that of value 2^k is the k-th video of the list."""

    count: int
    """Videos of the list."""
    right: int
    """Those that were classified as labelled."""
    seen: int
    """Those that were evaluated."""
    videos: str
    """The digest of the list, as `digest` makes it."""


def digest(videos: Iterable[tuple[str, int]]) -> str:
    """The sha256 of paths and labels in their order: answers with the same one are of the same videos."""
    found = hashlib.sha256()
    for path, label in videos:
        found.update(f"{label} {path}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def bits(values: Iterable[bool]) -> int:
    """Answers as a number."""
    return int("".join("01"[value] for value in values)[::-1] or "0", 2)


def places(number: int) -> Iterator[int]:
    """The videos whose bits are set."""
    return (index for index, bit in enumerate(f"{number:b}"[::-1]) if bit == "1")


def packed(answers: Answers) -> dict[str, Any]:
    """Answers as a record keeps them: bits, compressed, in base64."""
    content = {"videos": answers.videos, "count": answers.count, "right": _text(answers.right, answers.count)}
    everything = answers.seen == (1 << answers.count) - 1
    return content if everything else content | {"seen": _text(answers.seen, answers.count)}


def answers_of(record: Record) -> Answers | None:
    """The answers behind an accuracy; None where its record has none, as those of earlier versions. ValueError where
    they are damaged."""
    content = record.samples.get(NAME)
    if content is None:
        return None
    try:
        count, videos = int(content["count"]), str(content["videos"])
        right = _number(content["right"], count)
        seen = _number(content["seen"], count) if "seen" in content else (1 << count) - 1
    except (KeyError, TypeError, ValueError, zlib.error, binascii.Error):
        raise ValueError(f"record {record.id}: its answers are damaged") from None
    if right.bit_count() != record.samples.get("correct") or right & ~seen:
        raise ValueError(f"record {record.id}: its answers are not those of its value")
    return Answers(count, right, seen, videos)


def _text(number: int, count: int) -> str:
    return base64.b64encode(zlib.compress(number.to_bytes(-(-count // 8), "little"), 9)).decode()


def _number(text: str, count: int) -> int:
    """The bits of `count` videos. ValueError where they are more or fewer."""
    if not 0 <= count <= _MOST:
        raise ValueError
    size = -(-count // 8)
    reader = zlib.decompressobj()
    data = reader.decompress(base64.b64decode(text, validate=True), size + 1)
    number = int.from_bytes(data, "little")
    if len(data) != size or not reader.eof or number >> count:
        raise ValueError
    return number
