"""The names of a data set's classes, in the order of their numbers."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_classes(file: str | Path) -> tuple[str, ...]:
    """The classes that a file lists: a name a line, a number and a name (from 0 or 1, in any order), or JSON with
    names, or with a number for each name as Something-Something V2's. ValueError saying what is wrong where."""
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a text file in UTF-8: {error}") from None
    except OSError as error:
        raise ValueError(f"cannot read the classes {file}: {error.strerror}") from None
    if text.lstrip().startswith(("[", "{")):
        try:
            content = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{file} is not valid JSON: {error}") from None
        return _in_order(_pairs(content, file), file)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"([0-9]+)[\s,]+(.+)", line) for line in lines]
    if lines and all(numbered):
        return _in_order([(int(found[1]), found[2].strip('" ')) for found in numbered if found], file)
    return _in_order([(number, line.strip('" ')) for number, line in enumerate(lines)], file)


def plain(name: str) -> str:
    """A class's name, whatever its capitals, spaces and underscores."""
    return re.sub(r"[\s_]+", " ", name.strip().strip('"')).lower()


def _pairs(content: Any, file: str | Path) -> list[tuple[int, str]]:
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return list(enumerate(content))
    if isinstance(content, dict):
        try:
            return [(int(number), str(name)) for name, number in content.items()]
        except (TypeError, ValueError):
            pass
    raise ValueError(f"{file}: JSON with a list of names, or with a number for each name, is needed")


def _in_order(pairs: Sequence[tuple[int, str]], file: str | Path) -> tuple[str, ...]:
    if not pairs:
        raise ValueError(f"{file} lists no classes")
    ordered = sorted(pairs)
    first = ordered[0][0]
    if first not in (0, 1) or [number for number, _ in ordered] != list(range(first, first + len(ordered))):
        raise ValueError(f"{file}: the numbers of classes must be 0, 1, 2, … or 1, 2, 3, …, each once")
    names: dict[str, str] = {}
    for _, name in ordered:
        if plain(name) in names:
            raise ValueError(f"{file} lists the class {name!r} twice")
        names[plain(name)] = name
    return tuple(names.values())
