"""The runs of a training with several seeds, each with its record, and the mean over them."""

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from results.records import CellKey, Record, cell_key

RUNS = "runs"
"""Under which the samples of a mean have its runs."""
Seed = int | None
"""Of a run; None: the profile's, or there is but one run."""


def run_name(name: str, seed: Seed) -> str:
    """What a run of a row or column is called."""
    return name if seed is None else f"{name}, seed {seed}"


def run_key(cell: Any, seed: Seed) -> CellKey:
    """The key of a cell's run."""
    return cell_key(cell) if seed is None else (*cell_key(cell), str(seed))


def runs_of(cell: Any, seeds: Sequence[Seed], best: Mapping[CellKey, Record]) -> dict[Seed, Record]:
    """The records that there are of a cell's runs, by seed."""
    return {seed: best[key] for seed in seeds if (key := run_key(cell, seed)) in best}


def one_of(runs: Mapping[Seed, Record], asked: int) -> Record:
    """What stands for a cell of which these runs are there, of as many as are `asked` for: the record of the only one,
    or their mean."""
    return runs[None] if None in runs else _mean(runs, asked)


def _mean(runs: Mapping[Seed, Record], asked: int) -> Record:
    """As a record that is in no file: its samples say of what it is made, its settings and provenance are what all runs
    have in common. It is flagged where runs are missing."""
    records = list(runs.values())
    flags = [] if len(runs) == asked else [f"{len(runs)} of {asked} seeds"]
    flags += dict.fromkeys(f"seed {seed}: {flag}" for seed, record in runs.items() for flag in record.flags)
    statuses = [record.status for record in records]
    counts = [record.counts for record in records if record.counts]
    return Record(
        id=f"mean-{hashlib.sha256(' '.join(record.id for record in records).encode()).hexdigest()[:16]}",
        cell=records[0].cell,
        value=statistics.fmean(record.value for record in records),
        unit=records[0].unit,
        status=next(status for status in ("projected", "partial", "done") if status in statuses),
        profile=", ".join(dict.fromkeys(record.profile for record in records)),
        job="",
        started=min(record.started for record in records),
        ended=max(record.ended for record in records),
        settings=_common([record.settings for record in records]),
        samples={RUNS: {str(seed): record.value for seed, record in runs.items()}},
        counts=min(counts, key=lambda one: one["evaluated"]) if counts else {},
        skipped=[*{item["video"]: item for record in records for item in record.skipped}.values()],
        flags=flags,
        provenance=_common([record.provenance for record in records]),
    )


def values_of(record: Record) -> list[float]:
    """The values of the runs that a mean is over; none where the record is of one run."""
    return list(record.samples[RUNS].values()) if not record.job and RUNS in record.samples else []


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation of runs, n - 1 below the root; None of fewer than two."""
    return statistics.stdev(values) if len(values) > 1 else None


def interval_of_mean(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean that more and more runs would come to (Student's t). ValueError where it cannot be
    told."""
    from scipy.stats import ttest_1samp

    _check(values)
    found = ttest_1samp(values, 0).confidence_interval(0.95)
    return float(found.low), float(found.high)


def change_of_means(before: Sequence[float], after: Sequence[float]) -> tuple[tuple[float, float], float]:
    """The 95 % interval of the change from one mean over runs to another, and how probable such a change is by chance
    (Welch, 1947). Runs are not taken as pairs: with the same seed they have the same first weights and order of videos,
    but go their own ways. ValueError where it cannot be told."""
    from scipy.stats import ttest_ind

    _check(before, after)
    found = ttest_ind(after, before, equal_var=False)
    ends = found.confidence_interval(0.95)
    return (float(ends.low), float(ends.high)), float(found.pvalue)


def _check(*samples: Sequence[float]) -> None:
    if min(map(len, samples)) < 2:
        raise ValueError("it takes two runs or more of each to tell how much they vary")
    if all(min(values) == max(values) for values in samples):
        raise ValueError("the runs do not vary")


def _common(contents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is the same in all of them."""
    first, *others = contents
    found: dict[str, Any] = {}
    for name, value in first.items():
        values = [value, *(other.get(name) for other in others)]
        within = [one for one in values if isinstance(one, Mapping)]
        if len(within) == len(values):
            found[name] = _common(within)
        elif all(one == value for one in values):
            found[name] = value
    return found
