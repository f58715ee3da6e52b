"""The runs of a training with several seeds, each with its record, and the mean over them."""

import hashlib
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from results.metrics import METRICS
from results.records import CellKey, Record, as_dict, cell_key

NAMED = 3
"""Settings in which runs differ that are named; more are counted."""

Seed = int | None
"""Of a run; None: the profile's, or there is but one run."""
BESIDE = ("device", "path", "labels", "classes", "root", "seed")
"""Settings in which runs may differ: where their inputs lie, and the seed that they are told apart by."""


@dataclass(frozen=True)
class Mean(Record):
    """The mean over runs, as a record that is in no file: its settings and provenance are what all runs have in
    common."""

    values: tuple[float, ...] = ()
    unlike: str = ""
    """In which settings the runs differ, so that their spread is not that of chance; empty: in none."""


def seed_of(settings: Mapping[str, Any]) -> Seed:
    """The seed of a training by its settings; None where there is none."""
    recipe = settings.get("recipe")
    seed = recipe.get("seed") if isinstance(recipe, Mapping) else None
    return seed if type(seed) is int else None


def run_name(name: str, seed: Seed) -> str:
    """What a run of a row or column is called."""
    return name if seed is None else f"{name}, seed {seed}"


def run_key(cell: Any, seed: Seed) -> CellKey:
    """The key of a cell's run."""
    return cell_key(cell) if seed is None else (*cell_key(cell), str(seed))


def runs_of(cell: Any, seeds: Sequence[Seed], best: Mapping[CellKey, Record]) -> dict[Seed, Record]:
    """The records that there are of a cell's runs, by seed."""
    return {seed: best[key] for seed in seeds if (key := run_key(cell, seed)) in best}


def one_of(runs: Mapping[Seed, Record], seeds: Sequence[Seed]) -> Record:
    """What stands for a cell of which these runs are there, of those with `seeds`: the record of the only one, or their
    mean. It is flagged where runs are missing, or are not alike."""
    missing = [seed for seed in seeds if seed not in runs]
    without = f"{len(runs)} of {len(seeds)} seeds, without {', '.join(map(str, missing))}"
    flags = [without] if missing else []
    if len(runs) == 1:
        (record,) = runs.values()
        return replace(record, flags=[*flags, *record.flags]) if flags else record
    return _mean(runs, flags)


def _mean(runs: Mapping[Seed, Record], flags: list[str]) -> Mean:
    records = list(runs.values())
    values = tuple(record.value for record in records)
    unlike = _unlike(records)
    flags += [f"the runs differ in {unlike}"] if unlike else []
    flags += dict.fromkeys(f"seed {seed}: {flag}" for seed, record in runs.items() for flag in record.flags)
    statuses = [record.status for record in records]
    counts = [record.counts for record in records if record.counts]
    return Mean(
        id=f"mean-{hashlib.sha256(' '.join(record.id for record in records).encode()).hexdigest()[:16]}",
        cell=records[0].cell,
        value=statistics.fmean(values),
        unit=records[0].unit,
        status=next(status for status in ("projected", "partial", "done") if status in statuses),
        profile=", ".join(dict.fromkeys(record.profile for record in records)),
        job="",
        started=min(record.started for record in records),
        ended=max(record.ended for record in records),
        settings=_common([record.settings for record in records]),
        counts=min(counts, key=lambda one: one["evaluated"]) if counts else {},
        skipped=[*{item["video"]: item for record in records for item in record.skipped}.values()],
        flags=flags,
        provenance=_common([record.provenance for record in records]),
        values=values,
        unlike=unlike,
    )


def _unlike(records: Sequence[Record]) -> str:
    """In which settings, and of times on which hardware, records differ; a few by name."""
    found = dict.fromkeys(name for one, other in pairwise(records) for name in _differing(one.settings, other.settings))
    if METRICS[records[0].cell["metric"]].kind == "training":
        machines = [as_dict(record.provenance.get("machine")) for record in records]
        found |= {part: None for part in ("gpu", "cpu") if len({str(one.get(part)) for one in machines}) > 1}
    names = list(found)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*one, *other]):
        mine, others = one.get(name), other.get(name)
        if isinstance(mine, Mapping) and isinstance(others, Mapping):
            yield from _differing(mine, others)
        elif mine != others and name not in BESIDE:
            yield name


def values_of(record: Record) -> tuple[float, ...]:
    """The values of the runs that a mean is over; none where the record is of one run."""
    return record.values if isinstance(record, Mean) else ()


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that the runs of one side are equal is no trouble
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
