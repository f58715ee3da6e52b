"""What a dry run projects: literal arithmetic, where rates come from, and what is not known."""

import math
from collections.abc import Iterable
from pathlib import Path

import pytest

from harness.planning.estimate import estimate
from harness.planning.plan import Plan, make_plan
from harness.planning.planner import Planner
from harness.planning.projected import Cost, Estimate, lines
from harness.profiles import load_profile
from harness.tables import load_table
from jobs.cost import multiply_adds, scores_bytes, training_bytes
from jobs.spec.cells import Cell
from jobs.spec.jobs import Evaluate, Train
from results.records import Record
from tests.harness.made import make_planner, make_table, put_record

TOP1 = Cell("vit_demo", "none", "motion", "2x3", "top1")
PRUNED = Cell("vit_demo", "sta:r=12", "motion", "2x3", "top1")
HOURS = Cell("vit_demo", "none", "motion", "", "train_hours")
TRAINED = Cell("vit_demo", "none", "motion", "2x3", "top1_trained")
CLIPS = Cell("vit_demo", "none", "", "", "clips_per_s")
CPU = {"precision": "fp32", "device": "cpu", "threads": 1}


def projected(planner: Planner, cells: Iterable[Cell], records: Iterable[Record] = ()) -> tuple[Plan, Estimate]:
    plan = make_plan([make_table(cells)], planner, set())
    return plan, estimate(plan, planner, records)


def costs(planner: Planner, cells: Iterable[Cell], records: Iterable[Record] = ()) -> list[Cost]:
    return projected(planner, cells, records)[1].costs


def flops(reduction: str) -> float:
    return multiply_adds("vit_demo", reduction) or math.nan


def test_an_evaluation_by_hand(tmp_path: Path) -> None:
    planner = make_planner(
        tmp_path,
        overrides=["rates.clips_per_s.vit_demo=3"],
        executor="slurm",
        tasks=4,
        parallel=2,
        cpus_per_task=3,
    )
    plan, found = projected(planner, [TOP1])
    (job,), (one,) = plan.jobs, found.costs
    assert isinstance(job, Evaluate)
    assert one.what == "evaluate vit_demo on motion, 1 cell"
    assert one.forwards == 64 * 6
    seconds = 64 * 6 / 3
    assert one.hours == pytest.approx(3 * seconds / 3600)  # of cores: three a task
    assert one.wall_hours == pytest.approx(seconds / 2 / 3600)  # two of the four tasks at a time
    assert one.disk == scores_bytes(job, 64)
    assert found.unit == "core-hours"
    assert found.total.wall_hours == one.wall_hours
    assert "vit_demo none: ~3.00 clips/s, from rates.clips_per_s" in found.sources
    assert "motion: 64 videos, by its label file" in found.sources
    assert not found.unknown


def test_reading_may_be_what_takes_the_time(tmp_path: Path) -> None:
    rates = ["rates.clips_per_s.vit_demo=3", "rates.decode_videos_per_s=0.25", "evaluate.decoders=2"]
    planner = make_planner(tmp_path, overrides=rates, executor="slurm", tasks=1)
    (one,) = costs(planner, [TOP1])
    assert one.wall_hours == pytest.approx(64 / (0.25 * 2) / 3600)
    _, found = projected(make_planner(tmp_path, overrides=rates[:1]), [TOP1])
    assert "reading videos is assumed to keep up, as rates.decode_videos_per_s is not given" in found.notes


def test_only_so_many_videos(tmp_path: Path) -> None:
    (one,) = costs(make_planner(tmp_path, limit=10), [TOP1])
    assert one.forwards == 10 * 6


def test_a_reduction_is_scaled_from_the_nearest_by_flops(tmp_path: Path) -> None:
    given = ['rates.clips_per_s={"vit_demo" = 3, "vit_demo/sta:r=16" = 7}']
    planner = make_planner(tmp_path, overrides=given, executor="slurm", tasks=1)
    _, found = projected(planner, [PRUNED])
    rate = 7 * flops("sta:r=16") / flops("sta:r=12")
    assert found.costs[0].wall_hours == pytest.approx(64 * 6 / rate / 3600)
    (source,) = [text for text in found.sources if text.startswith("vit_demo sta:r=12: ")]
    assert source.endswith("clips/s, scaled from sta:r=16 by GFLOPs (0.116 → 0.144), from rates.clips_per_s")


def test_what_was_measured_goes_before_what_is_given(tmp_path: Path) -> None:
    planner = make_planner(tmp_path, overrides=["rates.clips_per_s.vit_demo=3"], executor="slurm", tasks=1)
    runs = tmp_path / "runs"
    record = put_record(runs, CLIPS, 12.0, id="a", settings=CPU)
    older = put_record(runs, CLIPS, 5.0, id="b", settings=CPU, ended="2020-01-01T00:00:00.000+00:00")
    others = [
        put_record(runs, CLIPS, 5.0, id="c", settings=CPU | {"precision": "bf16"}),
        put_record(runs, CLIPS, 5.0, id="d", settings=CPU | {"device": "cuda"}),
        put_record(runs, CLIPS, 5.0, id="e", settings=CPU | {"threads": 8}),
    ]
    _, found = projected(planner, [TOP1, PRUNED], [older, record, *others])
    rate = 12 * flops("none") / flops("sta:r=12")
    assert found.costs[0].wall_hours == pytest.approx((64 * 6 / 12 + 64 * 6 / rate) / 3600)
    assert "vit_demo none: ~12.0 clips/s, measured, record a" in found.sources
    _, found = projected(planner, [TOP1], others)
    assert "vit_demo none: ~3.00 clips/s, from rates.clips_per_s" in found.sources


def test_a_training_by_hand(tmp_path: Path) -> None:
    rates = ["rates.train_clips_per_s.vit_demo=5", "rates.clips_per_s.vit_demo=3", "train.epochs=10"]
    planner = make_planner(tmp_path, overrides=rates, executor="slurm", tasks=1, gpus_per_task=1)
    plan, found = projected(planner, [HOURS, TRAINED])
    (job,), (one,) = plan.jobs, found.costs
    assert isinstance(job, Train)
    assert one.what == "train vit_demo none on motion, seed 0"
    steps = 10 * (80 // 8)
    seconds = steps * 8 * 2 / (5 * 2) + 64 * 6 / (3 * 2)  # two processes, two copies of a video
    assert one.wall_hours == pytest.approx(seconds / 3600)
    assert one.hours == pytest.approx(2 * seconds / 3600)
    assert one.forwards == 64 * 6
    assert found.unit == "GPU-hours"
    (final,) = make_plan([make_table([TOP1])], planner, set()).jobs
    assert isinstance(final, Evaluate)
    assert one.disk == training_bytes(job, steps) + scores_bytes(final, 64)


def test_short_clips_cost_their_share_and_few_steps_few(tmp_path: Path) -> None:
    rates = ["rates.train_clips_per_s.vit_demo=5", "train.short_epochs=4", "train.short_frames=4", "train.epochs=6"]
    share = (multiply_adds("vit_demo", "none", 4) or math.nan) / flops("none")
    (one,) = costs(make_planner(tmp_path, overrides=rates), [HOURS])
    step = 8 * 2 / (5 * 2)
    assert one.wall_hours == pytest.approx((60 + 40 * share) * step / 3600)
    (one,) = costs(make_planner(tmp_path, overrides=[*rates, "train.measure_steps=20"]), [HOURS])
    assert one.wall_hours == pytest.approx((20 + 20 * share) * step / 3600)


def test_loading_may_be_what_a_training_waits_for(tmp_path: Path) -> None:
    rates = ["rates.train_clips_per_s.vit_demo=5", "rates.load_videos_per_s=0.5", "train.epochs=10"]
    (one,) = costs(make_planner(tmp_path, overrides=rates), [HOURS])
    assert one.wall_hours == pytest.approx(10 * 80 / (0.5 * 2) / 3600)


def test_a_training_goes_by_the_steps_of_an_earlier_one(tmp_path: Path) -> None:
    planner = make_planner(tmp_path, overrides=["train.epochs=10"])
    samples = {"step_s": {"median": 2.0}, "clips_per_step": 64, "processes": 4}
    modes = {"activation_checkpointing": False, "compile": False}
    settings = {"recipe": {"precision": "fp32"}, "device": "cpu", "threads": 1} | modes
    step = Cell("vit_demo", "none", "motion", "", "train_step_s")
    record = put_record(tmp_path / "runs", step, 2.0, id="a", samples=samples, settings=settings)
    _, found = projected(planner, [HOURS], [record])
    assert "vit_demo none in training: ~8.00 clips/s, measured, record a" in found.sources
    assert found.costs[0].wall_hours == pytest.approx(10 * 80 * 2 / (8 * 2) / 3600)
    other = put_record(tmp_path / "runs", step, 2.0, id="b", samples=samples, settings=settings | {"compile": True})
    assert costs(planner, [HOURS], [other])[0].hours is None


def test_timings_are_counted_with_their_warm_up(tmp_path: Path) -> None:
    end_to_end = Cell("vit_demo", "none", "motion", "2x3", "clips_per_s_e2e")
    rates = ["rates.clips_per_s.vit_demo=4", "measure.batch_size=8", "measure.samples=10"]
    alone, whole = costs(make_planner(tmp_path, overrides=rates), [CLIPS, end_to_end])
    assert (alone.what, whole.what) == ("time vit_demo none, clips_per_s", "time vit_demo none, clips_per_s_e2e")
    assert alone.forwards == 8 * (50 + 10)
    assert alone.wall_hours == pytest.approx(8 * 60 / 4 / 3600)
    assert whole.forwards == 11 * 4 * 6  # a block of 4 videos for the warm-up and 10 to time
    assert (alone.disk, whole.disk) == (0, 0)


def test_what_is_not_known_is_never_made_up(tmp_path: Path) -> None:
    planner = make_planner(tmp_path)
    _, found = projected(planner, [TOP1, HOURS])
    assert [(one.hours, one.wall_hours) for one in found.costs] == [(None, None), (None, None)]
    assert found.unknown == [
        "no rate for vit_demo: measure clips_per_s, or give rates.clips_per_s.vit_demo",
        "no rate for vit_demo in training: measure train_step_s, or give rates.train_clips_per_s.vit_demo",
    ]
    _, found = projected(make_planner(tmp_path, overrides=["rates.clips_per_s.vit_demo=3"]), [TOP1, HOURS])
    assert found.total.hours == found.costs[0].hours
    *_, last = [line for line in lines(found) if line.startswith("all ")]
    assert "> ~" in last
    assert "?" in lines(found)[3]


def test_a_method_whose_flops_show_only_when_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planner = make_planner(tmp_path, overrides=["rates.clips_per_s.vit_demo=3"], executor="slurm", tasks=1)
    real = multiply_adds
    known = lambda model, reduction: None if reduction.startswith("sta") else real(model, reduction)  # noqa: E731
    monkeypatch.setattr("harness.planning.rates.multiply_adds", known)
    _, found = projected(planner, [PRUNED])
    assert found.costs[0].hours is None
    lacking = "its FLOPs show only when it runs; measure gflops or clips_per_s"
    assert found.unknown == [f"no rate for vit_demo sta:r=12: {lacking}"]
    counted = put_record(tmp_path / "runs", Cell("vit_demo", "sta:r=12", "", "", "gflops"), flops("none") / 2e9)
    assert costs(planner, [PRUNED], [counted])[0].wall_hours == pytest.approx(64 * 6 / 6 / 3600)


def test_videos_are_those_of_the_profile_where_the_label_file_is_not(tmp_path: Path) -> None:
    make_planner(tmp_path)
    (tmp_path / "val.txt").unlink()
    (tmp_path / "weights.bin").unlink()
    for given, forwards in ([], None), (["datasets.motion.videos=100"], 600):
        planner = Planner(load_profile(str(tmp_path / "small.toml"), given), tmp_path / "runs", elsewhere=True)
        _, found = projected(planner, [TOP1])
        assert found.costs[0].forwards == forwards
        assert found.missing == [
            f"cannot read the label file of motion, {tmp_path}/val.txt: No such file or directory",
            f"cannot read the checkpoint of vit_demo/motion, {tmp_path}/weights.bin: No such file or directory",
        ]
        unknown = "how many videos motion has: its label file is not here; give datasets.motion.videos"
        assert (unknown in found.unknown) == (not given)
    with pytest.raises(ValueError, match="cannot read the label file of motion"):
        projected(Planner(planner.profile, tmp_path / "runs"), [TOP1])


@pytest.mark.parametrize("set_here", [False, True])
def test_the_papers_tables_on_its_cluster(set_here: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("K400", "SSV2", "CHECKPOINTS"):
        monkeypatch.setenv(name, "/nowhere") if set_here else monkeypatch.delenv(name, raising=False)
    planner = Planner(load_profile("v100"), tmp_path / "runs", elsewhere=True)
    plan = make_plan([load_table("table1"), load_table("table2")], planner, set())
    found = estimate(plan, planner, [])
    assert not found.unknown
    assert len(found.missing) == 4
    one = {cost.what: cost for cost in found.costs}
    table_2 = one["evaluate vit_large on k400, 20 cells"]
    assert table_2.forwards == 19_796 * 264
    forwards = 19_796 * 66
    # Table 6 of the paper prints r = 0 and r = 64; the others are scaled from r = 64.
    large = {r: multiply_adds("vit_large", f"sta:r={r}") or math.nan for r in (48, 64, 80)}
    rates = [19.5, 47 * large[64] / large[48], 47, 47 * large[64] / large[80]]
    assert table_2.hours == pytest.approx(sum(forwards / rate for rate in rates) / 3600)
    assert table_2.wall_hours == pytest.approx(sum(forwards / rate for rate in rates) / 3600 / 32)
    assert 8.4e9 < (table_2.disk or 0) < 8.8e9
    for reduction, hours, rate in ("none", 28, 53), ("sta:r=48", 15, 96):
        training = one[f"train vit_base {reduction} on k400, seed 0"]
        evaluation = 19_796 * 15 / rate / 32 / 3600
        assert training.wall_hours == pytest.approx(hours + evaluation, rel=1e-3)
        assert training.hours == pytest.approx(32 * (hours + evaluation), rel=1e-3)
        assert any(note.startswith(f"train vit_base {reduction} on k400, seed 0: with ~") for note in found.notes)
    parameters = 86_534_800
    assert one["train vit_base none on k400, seed 0"].disk == pytest.approx(
        3 * 14 * parameters + 4 * parameters, rel=0.15
    )
    assert found.total.wall_hours == one["train vit_base none on k400, seed 0"].wall_hours
    text = lines(found)
    assert max(map(len, text)) <= 100
    assert all("~" in line or "–" in line for line in text[2:7])
    assert any("$K400" in line for line in text) == (not set_here)


def test_a_task_that_needs_more_than_its_time(tmp_path: Path) -> None:
    rates = ["rates.train_clips_per_s.vit_demo=0.01", "train.epochs=10"]
    _, found = projected(make_planner(tmp_path, overrides=rates, time_min=600, timeouts=1), [HOURS])
    (note,) = [note for note in found.notes if note.startswith("train")]
    assert note == (
        "train vit_demo none on motion, seed 0: with ~22.2 h it reaches its limit of 10.0 h 2 ×; "
        "more than launch.timeouts = 1"
    )


def test_many_jobs_are_shown_by_kind(tmp_path: Path) -> None:
    planner = make_planner(tmp_path, overrides=["rates.clips_per_s.vit_demo=4"])
    cells = [Cell("vit_demo", f"sta:r={r}", "", "", "clips_per_s") for r in range(1, 24)]
    _, found = projected(planner, cells)
    text = lines(found)
    assert len(found.costs) == 23
    assert text[2].startswith("23 timings")
    assert "from: … and 3 more" in text
    assert lines(projected(planner, [])[1]) == []
