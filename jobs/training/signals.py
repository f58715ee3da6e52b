"""Noticing that this process has been told to stop, without stopping in the middle of a step."""

import signal
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)
"""SIGUSR2 is SLURM's and submitit's warning before a time limit or a preemption."""


class Told:
    """While open, the signals above are remembered in `by`, the name of the first, instead of obeyed at once."""

    def __init__(self) -> None:
        self.by = ""

    def __enter__(self) -> Self:
        # Also in place of submitit's own handler, which requeues whether or not anything has been kept.
        self._before: dict[int, Any] = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.by = self.by or signal.Signals(number).name
