"""The planner: every missing cell in exactly one job, nothing that has a record, and the same ids everywhere."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.planning.plan import Plan, grouped, make_plan, measured_cell
from harness.planning.planner import Planner
from harness.profiles import load_profile
from harness.tables import load_table
from jobs.spec.cells import Cell
from jobs.spec.jobs import digest
from jobs.spec.wire import from_dict, to_dict
from results.metrics import of_job
from results.progress import JobProgress, TaskProgress
from tests.harness.made import make_grid, make_planner, make_table, small_profile

WITHOUT = {"gflops": ("", ""), "clips_per_s": ("", ""), "train_hours": ("k400", ""), "train_step_s": ("k400", "")}
"""Dataset and views of the metrics that do not depend on both."""

cells = st.builds(
    lambda model, reduction, views, metric: Cell(model, reduction, *WITHOUT.get(metric, ("k400", views)), metric),
    st.sampled_from(["vit_demo", "vit_large"]),
    st.sampled_from(["none", "sta:r=0", "sta:r=12", "sta:r=12,at=1-5-9", "sta:r=20,at=1-9", "random:r=4"]),
    st.sampled_from(["2x3", "5x3"]),
    st.sampled_from(["top1", "top5", "clips_per_s_e2e", "top1_trained", *WITHOUT]),
)
tables = st.lists(cells, min_size=1, max_size=30)
patient = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def planner(tmp_path_factory: pytest.TempPathFactory) -> Planner:
    return make_planner(tmp_path_factory.mktemp("plan"))


def measured(wanted: list[Cell], planner: Planner) -> set[Cell]:
    return {measured_cell(cell, planner.profile, "")[0] for cell in wanted}


def planned(plan: Plan) -> Counter[Cell]:
    return Counter(cell for job in plan.jobs for cell in job.cells)


def left_behind(plan: Plan, done: int = 1) -> list[JobProgress]:
    """The jobs of a plan whose driver and tasks were killed."""
    return [
        JobProgress(
            job.id,
            "lost",
            {"cells": [vars(cell) for cell in job.cells], "record_ids": [job.record_id(cell) for cell in job.cells]},
            {},
            [TaskProgress(0, "lost", done, 9)],
        )
        for job in plan.jobs
    ]


@patient
@given(tables, st.booleans())
def test_every_cell_is_in_exactly_one_job(planner: Planner, wanted: list[Cell], fuse: bool) -> None:
    plan = make_plan([make_table(wanted)], planner, (), fuse=fuse)
    assert planned(plan) == Counter(measured(wanted, planner))
    assert len(plan.cells) == len(wanted)
    ids = {cell.record for cell in plan.cells}
    assert ids == {job.record_id(cell) for job in plan.jobs for cell in job.cells}
    assert len(ids) == len(planned(plan)), "two cells share a record"
    kinds = Counter(job.kind for job in plan.jobs)
    trained = {(cell.model, cell.reduction) for cell in planned(plan) if cell.metric in of_job("train")}
    assert kinds["train"] == len(trained), "a training is never done twice"
    if fuse:
        evaluated = {(cell.model, cell.dataset) for cell in planned(plan) if cell.metric in ("top1", "top5")}
        assert kinds["evaluate"] == len(evaluated)
        assert kinds["count"] <= 1
        assert all(len(job.cells) == 1 for job in plan.jobs if job.kind == "measure")
    else:
        assert all(len(job.cells) == 1 for job in plan.jobs if job.kind != "train")


@patient
@given(tables, st.randoms(use_true_random=False))
def test_a_record_drops_its_cell_and_no_other(planner: Planner, wanted: list[Cell], chance: random.Random) -> None:
    whole = make_plan([make_table(wanted)], planner, ())
    ids = sorted({cell.record for cell in whole.cells})
    have = set(chance.sample(ids, chance.randint(0, len(ids))))
    plan = make_plan([make_table(wanted)], planner, have)
    assert {job.record_id(cell) for job in plan.jobs for cell in job.cells} == set(ids) - have
    assert plan.done == sum(cell.record in have for cell in plan.cells)
    assert [cell.record for cell in plan.cells] == [cell.record for cell in whole.cells]


@patient
@given(tables, tables, st.randoms(use_true_random=False))
def test_unfinished_jobs_are_gone_on_with_as_they_were(
    planner: Planner, first: list[Cell], second: list[Cell], chance: random.Random
) -> None:
    before = make_plan([make_table(first)], planner, ())
    order = chance.sample(first + second, len(first + second))
    plan = make_plan([make_table(order)], planner, (), left_behind(before))
    assert {job.id for job in before.jobs} <= {job.id for job in plan.jobs}
    assert planned(plan) == Counter(measured(first + second, planner))


@patient
@given(tables, tables, tables)
def test_unfinished_jobs_that_overlap_share_no_work(
    planner: Planner, first: list[Cell], second: list[Cell], third: list[Cell]
) -> None:
    left = [
        one
        for some in (first + second, second + third)
        for one in left_behind(make_plan([make_table(some)], planner, ()))
    ]
    plan = make_plan([make_table(first + second + third)], planner, (), left)
    assert planned(plan) == Counter(measured(first + second + third, planner))


def accuracy(*grids: str) -> list[Cell]:
    return [Cell("vit_demo", "none", "motion", views, "top1") for views in grids]


def test_when_an_unfinished_job_is_gone_on_with(planner: Planner) -> None:
    (old,) = left_behind(make_plan([make_table(accuracy("2x3", "4x3"))], planner, ()))
    (unbegun,) = left_behind(make_plan([make_table(accuracy("2x3", "4x3"))], planner, ()), done=0)
    more, fewer = make_table(accuracy("2x3", "4x3", "8x3")), make_table(accuracy("2x3"))

    def jobs(table, unfinished, records=(), under_way=()):
        plan = make_plan([table], planner, records, [unfinished], under_way)
        return sorted(len(job.cells) for job in plan.jobs), old.id in [job.id for job in plan.jobs]

    assert jobs(more, old) == ([1, 2], True)
    assert jobs(more, unbegun) == ([3], False), "nothing is lost by fusing it anew"
    assert jobs(more, unbegun, under_way=[old.id]) == ([1, 2], True)
    assert jobs(fewer, old) == ([1], False), "it would answer what nobody asks for"
    assert jobs(fewer, old, under_way=[old.id]) == ([2], True)
    first = old.job["record_ids"][0]
    assert jobs(more, unbegun, records=[first]) == ([1, 2], True), "all blocks are there"
    damaged = JobProgress(
        old.id, "lost", {"cells": [{"model": 3}], "record_ids": []}, {}, [TaskProgress(0, "lost", 1, 9)]
    )
    assert jobs(more, damaged) == ([3], False)


def test_other_settings_are_other_records(tmp_path: Path) -> None:
    def ids(**options) -> tuple[str, ...]:
        wanted = [*accuracy("2x3"), Cell("vit_demo", "none", "", "", "gflops")]
        plan = make_plan([make_table(wanted)], make_planner(tmp_path, **options), ())
        return tuple(cell.record for cell in plan.cells)

    base = ids()
    assert ids() == base
    assert ids(limit=5)[0] != base[0]
    assert ids(limit=63)[0] != base[0]
    assert ids(limit=64) == ids(limit=65) == base, "the first 64 of 64 are all"
    assert ids(limit=5, videos=0)[0] != ids(videos=0)[0], "how many will be listed is not known"
    assert ids(videos=63)[0] != base[0], "the label file has changed"
    assert {ids(limit=5)[1], ids(videos=63)[1]} == {base[1]}
    planner = Planner(small_profile(tmp_path / "again"), tmp_path / "runs")
    assert planner.job(accuracy("2x3")).record_id(accuracy("2x3")[0]) == base[0], "the same files elsewhere"
    os.utime(tmp_path / "weights.bin")
    assert ids() == base, "touched only"
    (tmp_path / "weights.bin").write_bytes(b"othersw")
    assert ids()[0] != base[0], "as many other bytes"


def test_equal_reductions_share_a_record(tmp_path: Path) -> None:
    planner = make_planner(tmp_path, stand_in=False)
    wanted = [
        Cell("vit_large", reduction, dataset, views, metric)
        for reduction in ("sta:r=64,at=1-9-17", "sta:r=64")
        for dataset, views, metric in (("", "", "gflops"), ("k400", "5x3", "top1"))
    ]
    plan = make_plan([make_table(wanted)], planner, ())
    assert [job.cells for job in plan.jobs] == [
        (Cell("vit_large", "sta:r=64", "", "", "gflops"),),
        (Cell("vit_large", "sta:r=64", "motion", "5x3", "top1"),),
    ]
    assert len({cell.record for cell in plan.cells}) == 2


def test_stand_ins_scale_r_but_not_for_gflops(tmp_path: Path) -> None:
    profile = small_profile(tmp_path)
    assert measured_cell(Cell("vit_large", "sta:r=64", "k400", "5x3", "top1"), profile, "table1") == (
        Cell("vit_demo", "sta:r=16", "motion", "5x3", "top1"),
        "",
    )
    cell, note = measured_cell(Cell("vit_large", "sta:r=74,at=1-13", "k400", "5x3", "top1"), profile, "table3")
    assert cell.reduction == "sta:r=18,at=1-7"
    assert "18.5" in note
    real = Cell("vit_large", "sta:r=64", "", "", "gflops")
    assert measured_cell(real, profile, "") == (real, "")


def test_a_table_may_have_a_stand_in_of_its_own() -> None:
    profile = load_profile("demo")
    cell = Cell("vit_large", "sta:r=64", "k400", "5x3", "top1")
    assert measured_cell(cell, profile, "methods")[0].dataset == "glimpse"
    assert measured_cell(cell, profile, "table2")[0].dataset == "motion"


def test_what_is_asked_for_by_cost_is_shown_as_what_it_became() -> None:
    cell, note = measured_cell(
        Cell("vit_large", "tome:gflops=sta:r=64", "", "", "gflops"), load_profile("demo"), "mine"
    )
    assert cell.reduction == "tome:r=59"
    assert note == "tome:gflops=sta:r=64 is tome:r=59, 306.9 GFLOPs"
    rlt = Cell("vit_large", "rlt", "k400", "5x3", "gflops")
    assert measured_cell(rlt, load_profile("demo"), "mine")[1] == "counted of vit_demo on motion"
    cell, note = measured_cell(rlt, load_profile("v100"), "mine")
    assert (cell.model, note) == ("vit_large", "")


def test_tasks_never_outnumber_blocks_of_videos_that_are_listed(tmp_path: Path) -> None:
    for videos, limit, tasks, expected in ((64, 0, 99, 16), (64, 6, 99, 2), (64, 0, 3, 3), (1, 0, 99, 1), (0, 0, 9, 9)):
        planner = make_planner(tmp_path, videos=videos, limit=limit, tasks=tasks)
        plan = make_plan([make_table(accuracy("2x3"))], planner, ())
        assert list(plan.tasks.values()) == [expected]


def test_timings_come_last_and_counts_first(planner: Planner) -> None:
    wanted = [
        Cell("vit_demo", "none", "motion", "", "train_hours"),
        Cell("vit_demo", "none", "", "", "clips_per_s"),
        *accuracy("2x3"),
        Cell("vit_demo", "none", "", "", "gflops"),
    ]
    assert [job.kind for job in make_plan([make_table(wanted)], planner, ()).jobs] == [
        "count",
        "evaluate",
        "measure",
        "train",
    ]


PRINT_IDS = """
import json, sys
from pathlib import Path
from harness.planning.plan import make_plan
from harness.planning.planner import Planner
from harness.profiles import load_profile
from harness.tables import load_table
plan = make_plan([load_table("table2"), load_table("table3")], Planner(load_profile(sys.argv[1]), Path("runs")), ())
print(json.dumps([[cell.record for cell in plan.cells], [job.id for job in plan.jobs]]))
"""


def test_ids_are_the_same_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planner = make_planner(tmp_path)
    answers = set()
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        command = [sys.executable, "-c", PRINT_IDS, str(tmp_path / "small.toml")]
        answers.add(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    plan = make_plan([load_table("table2"), load_table("table3")], planner, ())
    assert answers == {json.dumps([[cell.record for cell in plan.cells], [job.id for job in plan.jobs]]) + "\n"}


@patient
@given(tables, st.randoms(use_true_random=False))
def test_ids_do_not_depend_on_the_order_of_fields(planner: Planner, wanted: list[Cell], chance: random.Random) -> None:
    def shuffled(value):
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in chance.sample(list(value), len(value))}
        return [shuffled(one) for one in value] if isinstance(value, list) else value

    for job in make_plan([make_table(wanted)], planner, ()).jobs:
        again = from_dict(shuffled(json.loads(json.dumps(to_dict(job)))))
        assert again == job
        assert again.id == job.id
        assert digest(shuffled(json.loads(json.dumps(to_dict(job))))) == digest(to_dict(job))


def test_a_thousand_cells(tmp_path: Path) -> None:
    planner = make_planner(tmp_path)
    reductions = [f"{name}:r={r}" for name in ("sta", "random") for r in range(1, 94)] + [
        f"sta:r={r},at=1-9" for r in range(1, 65)
    ]
    table = load_table(
        str(make_grid(tmp_path / "big.toml", reductions, ["vit_small", "vit_base", "vit_large", "vit_huge"]))
    )
    assert len(table.entries) == 1000
    began = time.perf_counter()
    plan = make_plan([table], planner, ())
    print(f"planned in {time.perf_counter() - began:.2f} s")
    assert [(job.kind, len(job.cells)) for job in plan.jobs] == [("count", 1000)]
    assert len({cell.record for cell in plan.cells}) == 1000
    alone = make_plan([table], planner, (), fuse=False)
    assert len({job.id for job in alone.jobs}) == 1000
    assert make_plan([table], planner, (), left_behind(alone)).jobs == alone.jobs


def test_what_reads_videos_is_timed_in_a_job_of_its_own(tmp_path: Path) -> None:
    planner = Planner(load_profile("demo"), tmp_path, elsewhere=True)
    metrics = ("clips_per_s", "clips_per_s_e2e", "latency_ms", "peak_memory_gib")
    cells = [Cell("vit_demo", "rlt:tau=0.1", "motion", "1x1", metric) for metric in metrics]
    groups = [[cell for cell, _ in group] for group in grouped([(cell, None) for cell in cells], fuse=True)]
    assert sorted(len(group) for group in groups) == [1, 3]
    for group in groups:
        job = planner.job(group)
        assert [job.record_id(cell) for cell in job.cells] == [
            planner.job([cell]).record_id(cell) for cell in job.cells
        ]


def test_what_needs_tokens_of_every_slot_is_refused_of_a_method_that_goes_by_content(tmp_path: Path) -> None:
    planner = make_planner(tmp_path)
    cell = Cell("vit_demo", "rlt", "motion", "2x3", "trajectory_sum")
    with pytest.raises(ValueError, match=r"of every slot, and rlt:tau=.* may leave a clip no token of a slot"):
        make_plan([make_table([cell])], planner, set())
    make_plan([make_table([replace(cell, reduction="sta:r=12")])], planner, set())


def test_clips_may_be_meant_to_have_another_stride_than_the_weights(tmp_path: Path) -> None:
    """It decides which weights are accepted, and is no part of what a value is of."""
    cell = Cell("vit_demo", "none", "motion", "2x3", "top1")
    jobs = [
        make_planner(tmp_path / name, overrides=given).job([cell])
        for name, given in (("same", []), ("other", ["datasets.motion.weights_stride=3"]))
    ]
    assert [job.dataset.trained_stride for job in jobs] == [4, 3]
    assert jobs[0].record_id(cell) == jobs[1].record_id(cell)
