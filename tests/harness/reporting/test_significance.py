"""Intervals of changes, where they are drawn."""

from pathlib import Path

import pytest

from harness.reporting.trends import wilson
from results.paired import Paired, interval
from tests.harness.made import answered
from tests.harness.reporting.test_trends import drawn, grid, put_accuracy, put_gflops


def test_bars_are_intervals_of_the_change_about_r_0(tmp_path: Path) -> None:
    runs, start = tmp_path / "runs", "1" * 60 + "0" * 4
    put_accuracy(runs, "none", 60, samples=answered(start))
    put_accuracy(runs, "sta:r=48", 57, samples=answered("0000" + start[4:-1] + "1"))
    for reduction, cost in (("none", 180.0), ("sta:r=48", 120.0)):
        put_gflops(runs, reduction, cost)
    plot = drawn(tmp_path, grid("none", "sta:r=48"))["grid-top1-gflops"]
    points = {point.x: point for series in plot.series for point in series.points}
    low, high = interval(Paired(64, 4, 1))
    assert (points[120.0].y_low, points[120.0].y_high) == pytest.approx((93.75 + low, 93.75 + high))
    assert points[180.0].y_low == wilson(60, 64)[0]
    assert plot.notes[0] == (
        "vertical bars: 95 % interval of the change from r = 0, over the same videos (Tango); of r = 0, "
        "95 % interval of an accuracy, by the number of videos (Wilson)"
    )
