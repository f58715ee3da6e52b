"""The sha256 of files by content, kept in the runs folder so that large ones are read once.

Size, times and inode of a file are only a first look: where they are as they were, the kept digest holds; where they
are not, the content is read again. So a file that was copied, touched or moved has the same digest as before.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from results.files import read_json, write_json

LARGE = 2**20
"""Bytes from which on reading a file takes longer than reading its kept digest."""
SETTLED_S = 2.0
"""Seconds within which a file may change again without a new modification time: its digest is not cached."""

_known: dict[Path, tuple[list[int], str]] = {}


def content_sha256(files: Sequence[Path], runs: Path | None = None) -> str:
    """The sha256 of a file's content; of several files, of their names and digests.

    runs: the runs folder, whose folder `digests` keeps those of large files; None: none is kept. OSError where a file
    is missing or cannot be read.
    """
    digests = [_file_sha256(file.absolute(), runs) for file in files]
    if len(files) == 1:
        return digests[0]
    lines = "".join(f"{digest}  {file.name}\n" for digest, file in zip(digests, files, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()


def _file_sha256(file: Path, runs: Path | None) -> str:
    if file.exists() and not file.is_file():
        raise OSError(22, "not a file", str(file))  # a pipe would be waited for, a device has no end
    look = _look(file)
    if file not in _known or _known[file][0] != look:
        kept = _place(file, runs) if runs and look[0] >= LARGE else None
        digest = _read(kept, look) if kept else ""
        if not digest:
            with open(file, "rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            if look != _look(file) or time.time() - max(look[1:3]) / 1e9 < SETTLED_S:
                return digest
            if kept and runs and runs.is_dir():
                with suppress(OSError):  # no room or no permission: it is read again next time
                    write_json(kept, {"file": os.fspath(file), "look": look, "sha256": digest}, durable=False)
        _known[file] = look, digest
    return _known[file][1]


def _look(file: Path) -> list[int]:
    """Size, times of change of content and of attributes, inode."""
    found = file.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _place(file: Path, runs: Path) -> Path:
    return runs / "digests" / f"{hashlib.sha256(os.fsencode(file)).hexdigest()[:32]}.json"


def _read(kept: Path, look: list[int]) -> str:
    """The kept digest, if it is of the file as it looks now; else empty."""
    try:
        content = read_json(kept)
    except (OSError, ValueError):
        return ""
    return str(content.get("sha256", "")) if content.get("look") == look else ""
