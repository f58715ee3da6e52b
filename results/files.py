"""Small JSON files that are either whole or absent, in folders private to their owner.

Runs live on laptops and on shared NFS folders, where locks and databases are unsafe. Every file here
is written beside its place and moved in, so a reader never sees half of one.
"""

import contextlib
import errno
import json
import math
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_BYTES = 64 * 2**20
MOST_STRINGS = 4096
"""That `shared` remembers."""
_STRINGS: dict[str, str] = {}

_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV}


def private_folder(path: Path) -> Path:
    """Create `path` and its missing parents, for their owner alone (0o700); what exists is left as it is."""
    if not path.is_dir():
        if path.parent != path:
            private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    return path


def write_json(path: Path, obj: Any, durable: bool = True) -> None:
    """Replace `path` by `obj` as JSON, atomically. `durable` waits until the disk has it.

    Raises ValueError for NaN and infinities, which JSON does not have, and TypeError for other types.
    """
    with _written_beside(path, obj, durable) as temporary:
        os.replace(temporary, path)
    if durable:
        _sync_folder(path.parent)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write in place of `path`: moved there, with its content on the disk, if the block ends well."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.stem[:80]}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        yield temporary
        os.fsync(descriptor)
        os.replace(temporary, path)
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def write_json_once(path: Path, obj: Any, durable: bool = True) -> bool:
    """Write `obj` to `path` unless a file is there already; the first of several writers wins.

    Returns whether this call wrote it. `durable` and what is raised are those of `write_json`.
    """
    with _written_beside(path, obj, durable) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            # A network file system may lose the answer to a link that it has made, and find it when it tries again.
            if os.stat(temporary).st_nlink < 2:
                return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if path.exists():
                return False
            os.rename(temporary, path)
    if durable:
        _sync_folder(path.parent)
    return True


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`.

    Raises FileNotFoundError where there is nothing, ValueError with a one-line reason otherwise.
    Anything else found there (a pipe, a folder, a huge or deeply nested file) gives a reason, never a hang.
    """
    try:
        with open(path, "rb", opener=_open_regular) as file:
            # Room for the largest file would be taken and given back for every small one.
            content = file.read(min(os.fstat(file.fileno()).st_size, MAX_BYTES) + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    try:
        obj = _DECODER.decode(content.decode(json.detect_encoding(content), "surrogatepass"))
        if b"\\ud" in content.lower():
            # A lone surrogate parses, then breaks any code that prints it.
            json.dumps(obj, ensure_ascii=False).encode()
    except _NotFinite:
        raise ValueError("not JSON: a number in it is not finite") from None
    except (ValueError, RecursionError):
        raise ValueError("empty" if not content else "not whole JSON") from None
    if not isinstance(obj, dict):
        raise ValueError("not a JSON object")
    return obj


class _NotFinite(ValueError):
    """Python reads and writes NaN and infinities where JSON has none; a browser, say, would refuse the whole file."""


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NotFinite
    return value


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def shared(value: Any) -> Any:
    """JSON's value with one string in memory for those that are equal, for callers that keep the contents of many like
    files: what these have in common is in the first ones."""
    if isinstance(value, str):
        return _STRINGS.setdefault(value, value) if len(_STRINGS) < MOST_STRINGS else _STRINGS.get(value, value)
    if isinstance(value, dict):
        return {sys.intern(key): shared(one) for key, one in value.items()}
    return [shared(one) for one in value] if isinstance(value, list) else value


def _open_regular(path: str, flags: int) -> int:
    # Opening a named pipe for reading would block without O_NONBLOCK.
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("not a regular file")
    return descriptor


@contextlib.contextmanager
def _written_beside(path: Path, obj: Any, durable: bool) -> Iterator[str]:
    text = json.dumps(obj, indent=1, allow_nan=False)
    private_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.stem[:80]}.", suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            if durable:
                os.fsync(descriptor)
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _sync_folder(folder: Path) -> None:
    # Some network file systems refuse to sync a folder; the rename has happened anyway.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
