"""Where and how much a part measures, and what it comes to, kept in a file as it grows."""

import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.forward import synchronize
from results.files import replacing


@dataclass
class Result:
    """A table of what was measured; kept whenever something is added."""

    title: str
    headers: list[str]
    keep: Callable[[], None]
    rows: list[list[Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *row: Any) -> None:
        self.rows.append(list(row))
        self.keep()

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.keep()

    def goal(self, what: str, value: float, least: float) -> None:
        """Note whether a goal is met."""
        met = "met" if value >= least else "missed"
        self.note(f"goal {met}: {what} is {value:.3g}, to be at least {least:g}")


@dataclass
class Place:
    """What a part is given."""

    device: str
    """cuda or cpu."""
    small: bool
    """Whether small models and few rounds are taken, to rehearse each line."""
    folder: Path
    """For files of its own."""
    file: Path
    """What its results are written to."""
    until: float
    """By time.monotonic, when the part is to end."""
    results: list[Result] = field(default_factory=list)
    error: str = ""

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those of mixed precision, the device's best first; before compute capability 8 a GPU has no bf16."""
        if self.device == "cpu":
            return ("bf16",)
        return ("bf16", "fp16") if torch.cuda.get_device_capability() >= (8, 0) else ("fp16",)

    @property
    def left(self) -> float:
        """Seconds until then."""
        return self.until - time.monotonic()

    def table(self, title: str, *headers: str) -> Result:
        """A new table of results."""
        result = Result(title, list(headers), self.keep)
        self.results.append(result)
        self.keep()
        return result

    def keep(self) -> None:
        """Write down what there is so far, so that it is there whatever becomes of this process."""
        said = "title", "headers", "rows", "notes"
        tables = [{name: getattr(one, name) for name in said} for one in self.results]
        with replacing(self.file) as temporary:
            temporary.write_text(json.dumps({"error": self.error, "results": tables}))

    def attempt(self, result: Result, what: str, least: float, measure: Callable[[], None]) -> None:
        """Measure something, where as many seconds as `least` are left. A failure is noted and fails the part, and what
        comes after is measured all the same; that the device's memory is too small is noted only."""
        if not self.small and self.left < least:
            return result.note(f"left out, as time ran out: {what}")
        try:
            measure()
        except torch.OutOfMemoryError:
            result.note(f"not measured, as the device has too little memory: {what}")
            torch.cuda.empty_cache()
        except Exception as found:
            traceback.print_exc()
            self.error = f"{what}: {type(found).__name__}: {(str(found).splitlines() or [''])[0][:300]}"
            result.note(f"failed: {self.error}")
        return None

    def turns(self, calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
        """Seconds of each of `calls`, one after the other in so many rounds, so that whatever else the machine does
        weighs on all; two rounds before are not counted. A rehearsal makes one of each."""
        warm, counted = (1, 1) if self.small else (2, rounds)
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(warm + counted):
            for name, call in calls.items():
                times[name].append(self.seconds(call))
        return {name: found[warm:] for name, found in times.items()}

    def seconds(self, call: Callable[[], object]) -> float:
        """Wall time of one call, with everything that it asks of the device."""
        synchronize(self.device)
        began = time.perf_counter()
        call()
        synchronize(self.device)
        return time.perf_counter() - began
