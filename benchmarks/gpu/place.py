"""Where and how much the parts measure, and what they come to."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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

    def wait(self) -> None:
        """Until all that was asked of the device is done."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def seconds(self, call: Callable[[], object]) -> float:
        """Of one call, with everything that it asks of the device."""
        self.wait()
        began = time.perf_counter()
        call()
        self.wait()
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
