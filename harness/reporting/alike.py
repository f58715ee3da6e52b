"""Whether two times may be divided by each other."""

from collections.abc import Iterable

from jobs.spec.kernels import TORCHS
from results.records import Record, setting

TIMED_ALIKE = ("precision", "batch_size", "threads", "gpus", "device", "compile", "attention")
TRAINED_ALIKE = (
    *("recipe.precision", "micro_batch", "zero_stage", "activation_checkpointing", "compile"),
    *("nodes", "tasks_per_node", "gpus", "device"),
)
"""Settings, by dotted name, in which two times must agree."""
BEFORE = vars(TORCHS)
"""What records that do not name their kernels stand for."""


def unlike(record: Record, base: Record, names: Iterable[str]) -> str:
    """In what the time of `record` was taken in another way than that of `base`, that of r = 0; empty: in nothing."""
    for name in names:
        mine, other = _taken(record, name), _taken(base, name)
        if mine != other:
            return f"its {name.removeprefix('recipe.')} is {mine}, r = 0's {other}"
    mine, other = _machine(record), _machine(base)
    return "" if mine == other else f"it was timed on {mine}, r = 0 on {other}"


def _taken(record: Record, name: str) -> object:
    value = setting(record, name)
    return BEFORE.get(name) if value is None else value


def _machine(record: Record) -> str:
    machine = record.provenance.get("machine", {})
    return str(machine.get("gpu") or machine.get("cpu") or "an unknown machine")
