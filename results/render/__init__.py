"""Tables as text. A renderer is one file here with `render(views)`; its name is the format's."""

import importlib
import pkgutil
from collections.abc import Sequence

from results.render.table_view import Entry, TableView, to_json

__all__ = ["Entry", "TableView", "formats", "render", "to_json"]

_NO_FORMATS = ("table_view", "grid", "plot", "terminal", "page")


def formats() -> list[str]:
    """Return the names of the formats, e.g. github, latex, csv; imports none of them."""
    return sorted(item.name for item in pkgutil.iter_modules(__path__) if item.name not in _NO_FORMATS)


def render(views: Sequence[TableView], format: str) -> str:
    """Return the tables as text that ends in a newline. Raises ValueError listing the formats."""
    if format not in formats():
        raise ValueError(f"format {format!r} is none of {', '.join(formats())}")
    return str(importlib.import_module(f"{__name__}.{format}").render(views))
