"""TOML files of users: profiles and tables, as editors on any system save them."""

import tomllib
from pathlib import Path
from typing import Any


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The content of a TOML file, `what` it is called in messages; a byte order mark at its beginning is no part of it.

    ValueError, in a line, where it cannot be read, is not in UTF-8, or is no TOML.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {what} {path}: {error.strerror}") from None
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        found = "this seems to be UTF-16" if utf_16 else f"byte 0x{content[error.start]:02x} in line {line} is not"
        raise ValueError(f"{what} {path}: TOML is in UTF-8, and {found}; save it as UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{what} {path}: {error}") from None
