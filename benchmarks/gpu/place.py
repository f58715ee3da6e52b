"""Where and how much the parts measure, and what they come to."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.forward import synchronize


@dataclass
class Place:
    """What a part is given."""

    device: str
    """cuda or cpu."""
    small: bool
    """Whether small models and few rounds are taken, to rehearse each line."""
    folder: Path
    """For files of its own."""
    until: float = 0.0
    """By time.monotonic, when the part is to end."""

    @property
    def left(self) -> float:
        """Seconds until then."""
        return self.until - time.monotonic()

    def seconds(self, call: Callable[[], object]) -> float:
        """Wall time of one call, with everything that it asks of the device."""
        synchronize(self.device)
        began = time.perf_counter()
        call()
        synchronize(self.device)
        return time.perf_counter() - began


@dataclass
class Result:
    """A table of what was measured."""

    title: str
    headers: list[str]
    rows: list[list[Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def goal(self, what: str, value: float, least: float) -> None:
        """Note whether a goal is met."""
        met = "met" if value >= least else "missed"
        self.notes.append(f"goal {met}: {what} is {value:.3g}, to be at least {least:g}")
