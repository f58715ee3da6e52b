"""What a report says of methods whose choices hang on the order of nearly equal scores."""

from collections.abc import Iterable

from models.reduction import parse
from results.metrics import METRICS
from results.records import Record

MEASURED = "of 512 videos of the demo up to 7 answers changed in float32 (python -m benchmarks.near_ties)"
"""By how much the same weights and clips differed between threads, batch sizes, and fused and explicit attention."""


def near_ties(records: Iterable[Record]) -> list[str]:
    """A line that names the methods among accuracies of which another kernel or machine may merge other tokens."""
    found: dict[str, None] = {}
    for record in records:
        kind, reduction = METRICS[record.cell["metric"]].kind, record.cell["reduction"]
        if kind in ("accuracy", "content") and parse(reduction).near_ties:
            found[reduction.partition(":")[0]] = None
    if not found:
        return []
    why = "tokens by scores that are nearly equal, which other threads, batch sizes and kernels order otherwise"
    merge = "merges" if len(found) == 1 else "merge"
    return [f"{' and '.join(sorted(found))} {merge} {why}: {MEASURED}"]
