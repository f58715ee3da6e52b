"""Means over the runs of a training with several seeds, and what may be said of changes between them."""

import math
import random
import statistics

import pytest

from results.records import Record
from results.seeds import change_of_means, deviation, interval_of_mean, one_of, run_key, runs_of, values_of

SEEDS = (0, 1, 4)
CELL = {"model": "vit_demo", "reduction": "none", "dataset": "motion", "views": "", "metric": "train_hours"}


def run(seed: int, value: float, **content: object) -> Record:
    base = {"unit": "h", "status": "done", "profile": "small", "job": f"job-{seed}", "started": "1", "ended": str(seed)}
    settings = {"recipe": {"seed": seed, "epochs": 2.0}, "nodes": 1}
    return Record(**(base | {"id": f"r{seed}", "cell": CELL, "value": value, "settings": settings} | content))  # type: ignore[arg-type]


def test_a_mean_says_of_what_it_is_made_and_has_what_is_common() -> None:
    runs = {0: run(0, 1.0), 1: run(1, 2.0, flags=["noisy"], status="projected"), 4: run(4, 6.0)}
    mean = one_of(runs, SEEDS)
    assert (mean.value, mean.status, mean.job, mean.started, mean.ended) == (3.0, "projected", "", "1", "4")
    assert mean.settings == {"recipe": {"epochs": 2.0}, "nodes": 1}
    assert mean.flags == ["seed 1: noisy"]
    assert values_of(mean) == (1.0, 2.0, 6.0)
    assert deviation(values_of(mean)) == pytest.approx(math.sqrt(7))
    assert one_of(dict(list(runs.items())[:2]), SEEDS).flags == ["2 of 3 seeds, without 4", "seed 1: noisy"]
    assert one_of(runs, SEEDS).id == mean.id != one_of({0: runs[0]}, SEEDS).id


def test_runs_that_are_not_alike_are_told() -> None:
    other = {"recipe": {"seed": 1, "epochs": 3.0}, "nodes": 2, "start": {"path": "/elsewhere"}}
    mean = one_of({0: run(0, 1.0), 1: run(1, 2.0, settings=other), 4: run(4, 6.0)}, SEEDS)
    assert mean.flags == ["the runs differ in epochs, nodes, start"]
    gpus = [{"machine": {"gpu": name}} for name in ("V100", "A100")]
    mean = one_of({0: run(0, 1.0, provenance=gpus[0]), 1: run(1, 2.0, provenance=gpus[1])}, (0, 1))
    assert mean.flags == ["the runs differ in gpu"], "hours on other hardware"
    only = one_of({4: run(4, 6.0, flags=["noisy"])}, SEEDS)
    assert (only.id, only.flags, values_of(only)) == ("r4", ["1 of 3 seeds, without 0, 1", "noisy"], ())


def test_a_cell_of_one_run_is_its_record() -> None:
    only = run(0, 1.0)
    assert one_of({None: only}, (None,)) is only
    assert values_of(only) == ()
    assert deviation([1.0]) is None


def test_runs_are_found_by_their_seed() -> None:
    best = {run_key(CELL, None): run(0, 1.0), run_key(CELL, 1): run(1, 2.0)}
    assert runs_of(CELL, (None,), best) == {None: best[run_key(CELL, None)]}
    assert list(runs_of(CELL, (0, 1, 2), best)) == [1]


def test_the_change_of_a_mean_is_welchs_by_its_formula() -> None:
    """Against the formula as Welch has it, and scipy's distribution."""
    from scipy.stats import t

    before, after = [70.1, 70.9, 70.4], [69.0, 69.9, 69.1, 69.4]
    samples = (before, after)
    parts = [statistics.variance(values) / len(values) for values in samples]
    error = math.sqrt(sum(parts))
    freedoms = (part**2 / (len(values) - 1) for part, values in zip(parts, samples, strict=True))
    half = t.ppf(0.975, freedom := sum(parts) ** 2 / sum(freedoms)) * error
    change = statistics.fmean(after) - statistics.fmean(before)
    (low, high), chance = change_of_means(before, after)
    assert (low, high) == pytest.approx((change - half, change + half))
    assert chance == pytest.approx(2 * t.sf(abs(change) / error, freedom))


def test_intervals_cover_what_they_are_of() -> None:
    """2,000 draws of three runs each: Student's interval is exact, Welch's a little wider."""
    draw, count = random.Random(0), 2000
    means = changes = 0
    for _ in range(count):
        before, after = ([draw.gauss(middle, 0.3) for _ in range(3)] for middle in (70.0, 69.5))
        low, high = interval_of_mean(before)
        means += low <= 70.0 <= high
        (low, high), _ = change_of_means(before, after)
        changes += low <= -0.5 <= high
    assert abs(means / count - 0.95) < 0.015
    assert 0.94 < changes / count < 0.98


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [([1.0], [1.0, 2.0], "two runs or more"), ([1.0, 1.0], [2.0, 2.0], "do not vary"), ([], [1.0, 2.0], "two runs")],
)
def test_where_there_is_no_telling(before: list[float], after: list[float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        change_of_means(before, after)
