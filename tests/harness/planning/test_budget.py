"""What each of several tables takes, and which fit into a number of hours: against all subsets, by hand."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest

from harness import sweep
from harness.planning.budget import Tables, within_lines
from harness.planning.estimate import Estimator, estimate
from harness.planning.plan import make_plan
from harness.planning.planner import Planner
from harness.planning.rates import KnownRates
from jobs.cost import multiply_adds
from jobs.spec.cells import Cell
from tests.harness.made import make_planner, make_table
from tests.harness.test_sweep import run

SETS = {
    "one": ["none"],
    "both": ["none", "sta:r=12"],
    "other": ["sta:r=16", "sta:r=20"],
    "more": ["none", "sta:r=12", "sta:r=16", "random:r=12"],
}


def cells(reductions: Sequence[str]) -> list[Cell]:
    return [Cell("vit_demo", one, "motion", "2x3", "top1") for one in reductions]


def made(planner: Planner, sets: dict[str, list[Cell]]) -> Tables:
    plans = {name: make_plan([make_table(some, name=name)], planner, set()) for name, some in sets.items()}
    return Tables(plans, Estimator(planner, KnownRates(planner.profile, [])))


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return make_planner(tmp_path, overrides=["rates.clips_per_s.vit_demo=3"], executor="slurm", tasks=2)


def hours(reductions: Sequence[str]) -> float:
    """64 videos of 6 views; what reductions take falls with their FLOPs."""
    whole = multiply_adds("vit_demo", "none") or 0
    return sum(64 * 6 / 3 * (multiply_adds("vit_demo", one) or 0) / whole / 3600 for one in set(reductions))


def test_what_several_ask_for_counts_once(planner: Planner) -> None:
    tables = made(planner, {name: cells(some) for name, some in SETS.items()})
    for count in range(1, len(SETS) + 1):
        for names in combinations(SETS, count):
            found = tables.cost(names)
            assert found.hours == pytest.approx(hours([one for name in names for one in SETS[name]]))
            together = make_plan([make_table(cells(SETS[name]), name=name) for name in names], planner, set())
            assert found.hours == pytest.approx(estimate(together, planner, []).total.hours)
            assert found.disk == pytest.approx(estimate(together, planner, []).total.disk)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.7, 0.99, 1.001])
def test_the_cheapest_beside_those_before_come_first(planner: Planner, share: float) -> None:
    tables = made(planner, {name: cells(some) for name, some in SETS.items()})
    limit = share * hours([one for some in SETS.values() for one in some])
    taken, left = tables.within(limit)
    names = [name for name, _ in taken]
    assert sorted([*names, *left]) == sorted(SETS)
    for number, (name, cost) in enumerate(taken):
        before = names[:number]
        adds = {one: hours([r for other in [*before, one] for r in SETS[other]]) for one in SETS if one not in before}
        assert adds[name] == pytest.approx(min(adds.values()))
        assert cost.hours == pytest.approx(adds[name])
        assert adds[name] <= limit
    assert all(hours([r for other in [*names, one] for r in SETS[other]]) > limit for one in left)


def test_a_table_of_which_not_all_is_known_does_not_fit(tmp_path: Path) -> None:
    planner = make_planner(tmp_path, overrides=["rates.clips_per_s.vit_demo=3"])
    training = [Cell("vit_demo", "none", "motion", "", "train_hours")]
    tables = made(planner, {"known": cells(["none"]), "unknown": training})
    taken, left = tables.within(1e6)
    assert [name for name, _ in taken] == ["known"]
    said = within_lines(taken, left, 1e6, "core-hours")
    assert said[0] == "within 1,000,000 core-hours: 1 of 2 tables, cheapest first"
    assert said[-1] == "left out: unknown, how much it takes is not known"


def test_without_fusing_each_cell_counts_and_a_table_that_is_done_takes_nothing(planner: Planner) -> None:
    grids = [Cell("vit_demo", "none", "motion", views, "top1") for views in ("2x3", "4x3")]
    plans = {"both": make_plan([make_table(grids)], planner, set(), fuse=False), "done": make_plan([], planner, set())}
    estimator = Estimator(planner, KnownRates(planner.profile, []))
    alone = Tables(plans, estimator, fuse=False).cost(["both"])
    assert alone.forwards == 64 * (6 + 12)
    assert Tables(plans, estimator).cost(["both"]).forwards == 64 * 12  # the clips of 2x3 are among those of 4x3
    taken, left = Tables(plans, estimator, fuse=False).within(1e-9)
    assert [name for name, _ in taken] == ["done"]
    assert list(left) == ["both"]


def test_a_model_without_a_rate_takes_that_of_another_and_says_so(tmp_path: Path) -> None:
    planner = make_planner(tmp_path, overrides=["rates.clips_per_s.vit_base=3"], executor="slurm", tasks=1)
    found = estimate(make_plan([make_table(cells(["none"]))], planner, set()), planner, [])
    share = (multiply_adds("vit_demo", "none") or 0) / (multiply_adds("vit_base", "none") or 0)
    assert found.costs[0].wall_hours == pytest.approx(64 * 6 / (3 / share) / 3600)
    (source,) = [text for text in found.sources if text.startswith("vit_demo none: ")]
    assert "scaled from another model, vit_base none by GFLOPs (180 → 0.2" in source


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["supplement", "--profile", "v100"]
    assert run(lambda: sweep.main([*arguments, "--dry-run", "--budget", "60"])) == 0
    printed = capsys.readouterr().out
    assert "within 60 GPU-hours: 4 of 5 tables, cheapest first" in printed
    assert "left out: table1, with it ~" in printed
    planned = [line for line in printed.splitlines() if line.startswith("job ")]
    assert planned
    assert not any("table1" in line for line in planned)
    assert run(lambda: sweep.main([*arguments, "--budget", "50"])) == 2
    assert "--budget goes with --dry-run" in capsys.readouterr().err
    assert run(lambda: sweep.main([*arguments, "--dry-run", "--budget", "none"])) == 2
    assert "'none' is not a number of hours above 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
