"""The optimiser steps of a training as a CSV file. Imports nothing heavy."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True)
class Step:
    """One optimiser step."""

    step: int
    """Counted from 1."""
    segment: int
    """Which run of the training did it, counted from 1."""
    frames: int
    """Frames of a clip."""
    loss: float
    """Mean over the batch."""
    lr: float
    seconds: float
    data_s: float
    """Of that, waiting for samples."""


class StepLog:
    """The steps of a training as a CSV file that is only ever added to: a step done again after a restart stands in it
    twice, and the last one counts."""

    def __init__(self, path: Path) -> None:
        before = path.read_bytes() if path.exists() else b""
        steps = read_steps(path)[0] if before else []
        self._segment = max((step.segment for step in steps), default=0) + 1
        self._file: TextIO = open(path, "a", newline="", encoding="ascii")  # noqa: SIM115  open as long as the training
        self._writer = csv.writer(self._file, lineterminator="\n")
        if not before:
            self._writer.writerow([field.name for field in fields(Step)])
        elif not before.endswith(b"\n"):
            # A step that was cut short by a kill must not run into the first one written now.
            self._file.write("\n")

    def add(self, step: Step) -> None:
        """Add a step to this log's segment; what a full disk does not take now is tried again with the next one."""
        self._writer.writerow((asdict(step) | {"segment": self._segment}).values())
        with suppress(OSError):
            self._file.flush()

    def close(self) -> None:
        """OSError where some steps could not be written."""
        self._file.close()


def read_steps(path: Path) -> tuple[list[Step], float]:
    """The steps in order, each as it was done last, and the seconds of those that were done again."""
    found: dict[int, Step] = {}
    repeated = 0.0
    kinds = [field.type for field in fields(Step)]
    with open(path, newline="", encoding="ascii") as file:
        for row in csv.reader(file):
            try:
                values = [int(text) if kind is int else float(text) for text, kind in zip(row, kinds, strict=True)]
                step = Step(*values)  # type: ignore[arg-type]
            except ValueError:
                continue  # the header, or a line cut short
            if step.step in found:
                repeated += found[step.step].seconds
            found[step.step] = step
    return [found[number] for number in sorted(found)], repeated


def missing_flags(steps: Sequence[Step]) -> list[str]:
    """A flag where steps before the last are not in the log: on a full disk they wait, and are lost if it is killed."""
    last = steps[-1].step if steps else 0
    return [f"the log lacks {last - len(steps)} of {last} steps"] if len(steps) < last else []
