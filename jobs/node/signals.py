"""Noticing that this process has been asked to stop, without stopping in the middle of a batch or step."""

import signal
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)
"""SIGUSR2 is SLURM's warning before a time limit, and before a preemption where the cluster is set up for that; SIGTERM
begins the time of grace that a preempted or cancelled job has; SIGINT is a terminal's."""


class StopRequest:
    """While open, the signals above are remembered in `by` instead of obeyed at once, however often they come.

    `by` names the first, but SIGTERM once that has come: then the end has been decided on elsewhere.
    """

    def __init__(self) -> None:
        self.by = ""

    def __enter__(self) -> Self:
        # Also in place of submitit's own handlers: they requeue whether or not anything has been kept.
        self._before: dict[int, Any] = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.by or number == signal.SIGTERM:
            self.by = signal.Signals(number).name
