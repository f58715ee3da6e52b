"""A setting as it is written in a reduction's name, read by the type of its field."""

import re
from decimal import Decimal
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin


def read(text: str, hint: Any) -> object:
    """The value that `text` stands for; ValueError saying what it must be."""
    for one in _choices(hint):
        value = _read(text, one)
        if value is not None:
            return value
    raise ValueError(kind(hint))


def spelled(value: Any) -> str:
    """A setting's value as `read` takes it."""
    if isinstance(value, tuple):
        return "-".join(map(spelled, value))
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}".removesuffix(".0")
    return f"{value:d}" if isinstance(value, bool) else str(value)


def kind(hint: Any) -> str:
    """In words, the values that a field of the type `hint` takes."""
    return " or ".join(_kind(one) for one in _choices(hint))


def _choices(hint: Any) -> list[Any]:
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return [one for one in members if one is not type(None)]


def _read(text: str, hint: Any) -> object | None:
    if get_origin(hint) is tuple:
        members = [_read(part, get_args(hint)[0]) for part in text.split("-")]
        return None if None in members else tuple(members)
    if get_origin(hint) is Literal:
        return text if text in get_args(hint) else None
    if hint is bool:
        return {"0": False, "1": True}.get(text)
    if hint is float:
        return float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?|\.[0-9]+", text) else None
    return int(text) if re.fullmatch(r"[0-9]+", text) else None


def _kind(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return f"{_kind(get_args(hint)[0])}, or several with - between them"
    if get_origin(hint) is Literal:
        return " or ".join(get_args(hint))
    return {bool: "0 or 1", float: "a number, 0 or more"}.get(hint, "a whole number, 0 or more")
