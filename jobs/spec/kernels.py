"""Which kernels a model runs with. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Any

ATTENTION = ("auto", "flash", "efficient", "cudnn", "math")
"""Kernels of attention, as torch names them; auto: torch chooses, by device, precision and shapes."""


@dataclass(frozen=True)
class Kernels:
    """What a profile chooses of them."""

    compile: bool = False
    """Whether blocks go through torch.compile."""
    attention: str = "auto"
    """One of ATTENTION."""

    def settings(self) -> dict[str, Any]:
        """What a record says of them, as they may change a value by rounding."""
        return dict(vars(self))


TORCHS = Kernels()
"""Those that torch chooses."""
