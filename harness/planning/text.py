"""Numbers, counts and command lines as text, the same in every message and report."""

import shlex
from pathlib import Path

RUNS = Path("runs")
"""The runs folder where no other is named."""


def significant(value: float, digits: int = 3) -> str:
    """A positive number with so many digits, or all of its whole ones."""
    return f"{value:.0f}" if value >= 10**digits else f"{value:#.{digits}g}".rstrip(".")


def duration(hours: float) -> str:
    """Hours as text, in the unit that suits."""
    if hours < 1 / 60:
        return f"{significant(3600 * hours, 2)} s"
    if hours < 1:
        return f"{significant(60 * hours, 2)} min"
    return f"{significant(hours)} h" if hours < 72 else f"{significant(hours / 24)} days"


def plural(count: int, what: str) -> str:
    """A count with its noun, as `1 cell`, `2 cells`, `3 processes`."""
    return f"{count:,} {what}{'' if count == 1 else 'es' if what.endswith('s') else 's'}"


def command(tool: str, *arguments: str, runs: Path) -> str:
    """A command line of ours to show to the user, with the runs folder if it is another than the default."""
    return shlex.join(["python", "-m", f"harness.{tool}", *arguments, *(["--runs", str(runs)] if runs != RUNS else [])])
