"""Signs of life of a decoder that is at work on one video, so that its deadline is on progress and not on length."""

import time
from collections.abc import Callable

EVERY_S = 0.5
"""Seconds between two signs, at least."""

_say: list[Callable[[], None]] = []
_said = [0.0]


def tell(say: Callable[[], None]) -> None:
    """Have `say` called at signs of life of this process, from now on."""
    _say[:] = [say]


def beat() -> None:
    """A frame has come."""
    now = time.monotonic()
    if _say and now - _said[0] > EVERY_S:
        _said[0] = now
        _say[0]()
