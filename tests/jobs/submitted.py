"""A submission as a driver leaves it, run in this process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.run import run_submission
from results.attempts import Submission, Unit, write_submission
from results.provenance import utc_now


def submit(runs: Path, units: Sequence[Unit], kind: str = "sequence", **settings: Any) -> str:
    """Leave word of a submission, with a name of its own; returns that."""
    logs = runs / "logs"
    name = f"submission-{len(list(logs.iterdir())) if logs.exists() else 0}"
    values = {"executor": "local", "time": utc_now(), "time_min": 60} | settings
    write_submission(runs, Submission(name=name, kind=kind, units=tuple(units), **values))
    return name


def run_here(runs: Path, *units: Unit) -> None:
    """Run tasks one after the other; RuntimeError where not all are done then."""
    run_submission(str(runs), submit(runs, units))
