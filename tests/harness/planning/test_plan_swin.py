"""A ViT and a Video Swin in one sweep: each takes clips in its own way, and they share nothing but the videos."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.planning.plan import make_plan
from harness.planning.planner import Planner
from harness.planning.present import Present
from harness.profiles.sections import Dataset, Profile
from harness.tables import Table
from jobs.cost import forwards_a_video
from jobs.spec.cells import Cell
from jobs.spec.jobs import Evaluate, Train
from results.records import Record, setting
from tests.harness.made import make_table


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    (tmp_path / "val.txt").write_text("".join(f"{k}.mp4 {k % 16}\n" for k in range(20)))
    files = {"labels": str(tmp_path / "val.txt"), "train_labels": str(tmp_path / "val.txt"), "root": str(tmp_path)}
    datasets = {
        "set": Dataset(**files, num_classes=16, sampling="kinetics"),
        "fast": Dataset(**files, num_classes=16, sampling="kinetics", stride=3),
        "segments": Dataset(**files, num_classes=16, sampling="ssv2"),
    }
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"x")
    models = ("vit_base", "swin3d_t")
    checkpoints = {f"{model}/{name}": str(weights) for model in models for name in datasets}
    return Profile("test", datasets, checkpoints, dict.fromkeys(checkpoints, "scratch"))


def table(dataset: str = "set", views: str = "4x3", metric: str = "top1", reduction: str = "sta:r=48") -> Table:
    return make_table(Cell(model, reduction, dataset, views, metric) for model in ("vit_base", "swin3d_t"))


def trainings(profile: Profile, folder: Path) -> dict[str, Train]:
    jobs = make_plan([table(metric="top1_trained")], Planner(profile, folder), ()).jobs
    return {job.model: job for job in jobs if isinstance(job, Train)}


def test_they_are_jobs_of_their_own_with_their_own_strides(profile: Profile, tmp_path: Path) -> None:
    planner = Planner(profile, tmp_path)
    jobs = {job.model: job for job in make_plan([table()], planner, ()).jobs if isinstance(job, Evaluate)}
    assert {name: job.dataset.stride for name, job in jobs.items()} == {"vit_base": 4, "swin3d_t": 2}
    assert replace(jobs["vit_base"].dataset, stride=0) == replace(jobs["swin3d_t"].dataset, stride=0)
    assert jobs["vit_base"].id != jobs["swin3d_t"].id
    fast = make_plan([table("fast")], planner, ()).jobs
    assert {job.dataset.stride for job in fast if isinstance(job, Evaluate)} == {3}
    assert planner.missing == []


def test_a_typical_video_has_all_views_of_either(profile: Profile, tmp_path: Path) -> None:
    for job in make_plan([table()], Planner(profile, tmp_path), ()).jobs:
        assert isinstance(job, Evaluate)
        assert forwards_a_video(job) == {"sta:r=48": 12}


def test_each_is_compared_with_its_own_settings(profile: Profile, tmp_path: Path) -> None:
    planner = Planner(profile, tmp_path)
    for job in make_plan([table()], planner, ()).jobs:
        (cell,) = job.cells
        wanted = Present(profile, tmp_path).settings(vars(cell))
        record = Record("1", vars(cell), 50.0, "%", "done", "test", job.id, "", "", settings=job.settings(cell))
        assert wanted["dataset.stride"] == setting(record, "dataset.stride")


def test_trainings_start_afresh_what_their_family_does(profile: Profile, tmp_path: Path) -> None:
    profile = replace(profile, train=replace(profile.train, precision="fp32", batch=4, micro_batch=4))
    jobs = trainings(profile, tmp_path)
    assert {name: job.new for name, job in jobs.items()} == {"vit_base": ("fc_norm", "head"), "swin3d_t": ("head",)}
    assert jobs["swin3d_t"].unused == ()
    assert jobs["vit_base"].unused == ("decoder", "encoder_to_decoder", "mask_token", "norm")
    named = replace(profile, train=replace(profile.train, new=("family", "patch_embed")))
    assert trainings(named, tmp_path)["swin3d_t"].new == ("head", "patch_embed")


def test_views_that_the_protocol_has_not_are_refused(profile: Profile, tmp_path: Path) -> None:
    planner = Planner(profile, tmp_path)
    assert make_plan([table("segments", "1x3")], planner, ()).jobs
    wrong = "swin3d_t on segments, views 2x3: 2 clips of a video sampled as ssv2: this model's protocol has 1 there"
    with pytest.raises(ValueError, match=wrong):
        make_plan([table("segments", "2x3")], planner, ())


@pytest.mark.parametrize("reduction", ["tome:r=65", "pitome:ratio=0.9", "tome:gflops=60"])
def test_what_merges_is_refused_on_a_swin_before_anything_is_queued(
    reduction: str, profile: Profile, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="those that do: none, random, sta, uniform"):
        make_plan([table(reduction=reduction)], Planner(profile, tmp_path), ())
