"""How many times as fast reductions are, with intervals."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.reporting.speed_notes import speed_notes
from jobs.spec.cells import Cell
from results.ratios import ratio_interval
from results.records import Record
from tests.harness.made import put_record

V100 = {"machine": {"gpu": "V100"}}


def timing(runs: Path, reduction: str, rates: list[float], metric: str = "clips_per_s", **content: Any) -> Record:
    cell = Cell("vit_demo", reduction, "", "", metric)
    return put_record(runs, cell, float(np.median(rates)), samples={metric: rates}, **content)


def test_intervals_cover_a_known_ratio_in_most_draws() -> None:
    """Medians of 30 skewed samples each, as timings are; a percentile bootstrap of medians errs to the wide side."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(200):
        one, other = (speed * np.exp(-rng.exponential(0.05, 30)) for speed in (150.0, 100.0))
        low, high = ratio_interval(list(one), list(other))
        covered += low <= 1.5 <= high
    assert covered >= 180


def test_a_line_says_how_many_times_as_fast(tmp_path: Path) -> None:
    base = timing(tmp_path, "none", [100.0, 101.0, 99.0, 100.5, 99.5])
    fast = timing(tmp_path, "sta:r=12", [150.0, 151.0, 149.0, 150.5, 149.5])
    (line,) = speed_notes([("r=0", base), ("STA", fast)])
    found = re.fullmatch(
        r"clips_per_s of vit_demo, times as fast as r = 0, with 95 % bootstrap intervals of the ratio of medians "
        r"\(of these samples: another run may differ by more\): "
        r"STA 1\.50 \((1\.\d\d) to (1\.\d\d)\)",
        line,
    )
    assert found
    assert 1.47 <= float(found[1]) <= 1.5 <= float(found[2]) <= 1.53
    assert speed_notes([("r=0", base), ("STA", fast)]) == [line], "the same in every report"


def test_a_time_of_before_kernels_were_named_is_one_of_those_that_torch_chooses(tmp_path: Path) -> None:
    base = timing(tmp_path, "none", [100.0] * 5)
    other = timing(tmp_path, "sta:r=12", [150.0] * 5, settings={"compile": False, "attention": "auto"})
    assert len(speed_notes([("r=0", base), ("STA", other)])) == 1


def test_less_time_is_faster(tmp_path: Path) -> None:
    base = timing(tmp_path, "none", [10.0] * 5, "latency_ms")
    fast = timing(tmp_path, "sta:r=12", [8.0] * 5, "latency_ms")
    (line,) = speed_notes([("r=0", base), ("STA", fast)])
    assert line.endswith("STA 1.25 (1.25 to 1.25)")


@pytest.mark.parametrize(
    "content",
    [
        {"provenance": V100},
        {"settings": {"batch_size": 8}},
        {"settings": {"compile": True}},
        {"settings": {"attention": "math"}},
        {"samples": {"clips_per_s": [1.0, 2.0]}},
    ],
)
def test_times_taken_unlike_and_few_samples_are_not_compared(tmp_path: Path, content: dict[str, Any]) -> None:
    base = timing(tmp_path, "none", [100.0] * 5)
    cell = Cell("vit_demo", "sta:r=12", "", "", "clips_per_s")
    other = put_record(tmp_path, cell, 150.0, **({"samples": {"clips_per_s": [150.0] * 5}} | content))
    assert speed_notes([("r=0", base), ("STA", other)]) == []
    assert speed_notes([("STA", other)]) == []
