"""What a training says of itself while it runs: lines of progress, TensorBoard scalars, and all steps in a file."""

import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Self

from jobs.node.task import Task
from results.steps import Step, StepLog

SAY_S = 10.0
"""Seconds between lines in the log."""
RECENT = 20
"""Steps over which rates are taken."""


class TrainingReport:
    """Reports each step; only the first process writes files and lines. Use as a context manager."""

    def __init__(self, task: Task, steps: Path, first: bool, total: int, done: int) -> None:
        self._task, self._total = task, total
        self._recent: deque[Step] = deque(maxlen=RECENT)
        self._said = time.monotonic()
        self._log, self._board = None, None
        if first:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and of no use to the others

            self._log = StepLog(steps)
            self._board = SummaryWriter(str(steps.parent / "tensorboard"), purge_step=done + 1)
        task.update(done, total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._log and self._board:
            self._log.close()
            self._board.close()

    def add(self, step: Step, clips: int, scale: float) -> None:
        """Report a step over `clips` clips, with fp16's loss scale."""
        if self._recent and self._recent[-1].frames != step.frames:
            self._recent.clear()
        self._recent.append(step)
        seconds, waited = sum(one.seconds for one in self._recent), sum(one.data_s for one in self._recent)
        rate, share = clips * len(self._recent) / seconds, waited / seconds
        left = _spell(seconds / len(self._recent) * (self._total - step.step))
        text = f"loss {step.loss:.3f}, lr {step.lr:.1e}, {rate:.3g} clips/s, data {100 * share:.0f} %, {left} left"
        self._task.update(step.step, self._total, text)
        if not self._log or not self._board:
            return
        self._log.add(step)
        scalars = {"loss": step.loss, "lr": step.lr, "clips_per_s": clips / step.seconds, "data_share": share}
        with suppress(OSError):
            for name, value in (scalars | ({"loss_scale": scale} if scale != 1 else {})).items():
                self._board.add_scalar(f"train/{name}", value, step.step)
        if time.monotonic() - self._said >= SAY_S or step.step == self._total:
            self._said = time.monotonic()
            say(f"step {step.step}/{self._total}: {text}")


def say(line: str) -> None:
    """Print a line for the log, unless the disk is full: no reason to end a training."""
    with suppress(OSError):
        print(line, flush=True)


def _spell(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
