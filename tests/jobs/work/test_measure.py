"""Timings: what is counted as stable, what is flagged, and that both kinds of throughput come out of a job."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.spec.cells import Cell
from jobs.spec.jobs import Measure
from jobs.spec.wire import to_dict
from jobs.work import measure, timing
from models import create_model
from results.files import write_json
from results.metrics import METRICS
from results.progress import job_folder, read_job
from results.records import Record, read_records
from tests.jobs.small_set import make_dataset, make_set
from tests.jobs.submitted import run_here


def measured(job: Measure, runs: Path) -> Record:
    (record,) = all_measured(job, runs)
    return record


def all_measured(job: Measure, runs: Path) -> list[Record]:
    content = {"id": job.id, "tasks": 1, "profile": "test", "spec": to_dict(job)}
    write_json(job_folder(runs, job.id) / "job.json", content)
    run_here(runs, (job.id, 0))
    assert read_job(runs, job.id).error == ""
    return sorted(read_records(runs)[0], key=lambda record: list(METRICS).index(record.cell["metric"]))


def test_model_only(tmp_path: Path) -> None:
    cell = Cell("vit_demo", "sta:r=12", "", "", "clips_per_s")
    record = measured(Measure((cell,), "fp32", batch_size=2, samples=6, threads=1, gpus=0), tmp_path)
    rates = record.samples["clips_per_s"]
    assert len(rates) == 6
    assert record.value == pytest.approx(np.median(rates))
    assert record.samples["iqr"] == pytest.approx(np.subtract(*np.percentile(rates, [75, 25])))
    assert timing.WARM_UP_MIN <= len(record.samples["warm_up_seconds"]) <= timing.WARM_UP_MAX
    assert any("attention" in name for name in record.samples["attention"])
    assert record.settings["precision"] == "fp32"
    assert record.settings["batch_size"] == 2
    assert record.settings["device"] in ("cpu", "cuda")


def test_latency_and_memory_come_of_the_same_job(tmp_path: Path) -> None:
    metrics = ("clips_per_s", "latency_ms", "peak_memory_gib")
    cells = tuple(Cell("vit_demo", "tome:r=16", "", "", metric) for metric in metrics)
    speed, latency, memory = all_measured(Measure(cells, "fp32", batch_size=4, samples=6, threads=1, gpus=0), tmp_path)
    assert (speed.settings["batch_size"], latency.settings["batch_size"], memory.settings["batch_size"]) == (4, 1, 4)
    assert len(latency.samples["latency_ms"]) == 6
    assert latency.value == pytest.approx(np.median(latency.samples["latency_ms"]))
    assert 0.3 < latency.value * speed.value / 1000 < 30  # a clip alone and one of four take times of one order
    model = create_model("vit_demo")
    weights = sum(one.nbytes for one in (*model.parameters(), *model.buffers()))
    clips = 4 * 3 * 16 * 56 * 56 * 4
    assert weights + clips < memory.value * 2**30 < weights + 12 * clips
    assert memory.value == max(memory.samples["peak_memory_gib"])


def test_peak_memory_is_that_of_the_tensors_alive() -> None:
    class Doubling(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a = x + 1  # x and a
            b = torch.cat((a, a))  # x, a, b
            del a
            return b.sum()

    assert timing.peak_memory(Doubling(), torch.ones(1000), "fp32") == 4000 * 4


def test_content_that_counts_is_that_of_real_clips(tmp_path: Path) -> None:
    labels = make_set(tmp_path / "data", videos=5, frames=66)
    metrics = ("clips_per_s", "latency_ms", "peak_memory_gib")
    cells = tuple(Cell("vit_demo", "rlt:tau=0.1", "set", "2x1", metric) for metric in metrics)
    job = Measure(cells, "fp32", batch_size=2, samples=6, threads=1, gpus=0, dataset=make_dataset(labels))
    for record in all_measured(job, tmp_path):
        assert record.samples["input"] == "10 clips of set"
        assert record.value > 0


def test_end_to_end_reads_the_videos(tmp_path: Path) -> None:
    labels = make_set(tmp_path / "data", videos=5, frames=66)
    cell = Cell("vit_demo", "none", "set", "2x1", "clips_per_s_e2e")
    dataset = make_dataset(labels)
    job = Measure((cell,), "fp32", batch_size=2, samples=9, threads=1, gpus=0, dataset=dataset, block=1)
    record = measured(job, tmp_path)
    assert len(record.samples["clips_per_s_e2e"]) == 4  # one a video, the first of them to warm up
    assert len(record.samples["warm_up"]) == 1
    assert record.samples["forwards"] == 10
    assert record.skipped == []


def test_end_to_end_names_what_it_cannot_read(tmp_path: Path) -> None:
    labels = make_set(tmp_path / "data", videos=5, frames=66)
    (tmp_path / "data" / "clip 3.mp4").write_bytes(b"")
    cell = Cell("vit_demo", "none", "set", "1x1", "clips_per_s_e2e")
    settings = {"dataset": make_dataset(labels), "block": 1, "tolerance": 0.2}
    record = measured(Measure((cell,), "fp32", batch_size=2, samples=9, threads=1, gpus=0, **settings), tmp_path)
    assert record.skipped == [{"video": "clip 3.mp4", "reason": "an empty file"}]


def test_blocks_without_a_readable_video_are_no_samples(tmp_path: Path) -> None:
    labels = make_set(tmp_path / "data", videos=6, frames=66)
    for number in (2, 3):
        (tmp_path / "data" / f"clip {number}.mp4").write_bytes(b"")
    cell = Cell("vit_demo", "none", "set", "1x1", "clips_per_s_e2e")
    settings = {"dataset": make_dataset(labels), "block": 1, "tolerance": 0.5}
    record = measured(Measure((cell,), "fp32", batch_size=2, samples=9, threads=1, gpus=0, **settings), tmp_path)
    assert len(record.samples["clips_per_s_e2e"]) == 3
    assert min(record.samples["clips_per_s_e2e"]) > 0
    assert len(record.skipped) == 2


def test_timing_that_asks_for_a_gpu_fails_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "pick_device", lambda: torch.device("cpu"))
    cell = Cell("vit_demo", "none", "", "", "clips_per_s")
    job = Measure((cell,), "fp32", batch_size=2, samples=5, threads=1, gpus=1)
    write_json(job_folder(tmp_path, job.id) / "job.json", {"tasks": 1, "profile": "test", "spec": to_dict(job)})
    with pytest.raises(RuntimeError, match="not done"):
        run_here(tmp_path, (job.id, 0))
    assert "asks for a GPU" in read_job(tmp_path, job.id).error


@pytest.mark.parametrize(("rates", "flagged"), [([10.0, 10.1, 9.9, 10.0, 10.2], False), ([8.0, 12.0] * 5, True)])
def test_wide_spread_is_flagged(
    rates: list[float], flagged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure._Forward, "take", lambda self, cell: (rates, {}))
    cell = Cell("vit_demo", "none", "", "", "clips_per_s")
    record = measured(Measure((cell,), "fp32", batch_size=2, samples=6, threads=1, gpus=0), tmp_path)
    assert bool(record.flags) == flagged
    assert record.samples["clips_per_s"] == rates


def test_warm_up_ends_when_stable_and_at_the_latest_after_its_limit() -> None:
    settling = itertools.chain([3.0, 2.0, 1.6, 1.4, 1.3, 1.2, 1.2, 1.2, 1.1, 1.1], itertools.repeat(1.0))
    warm_up = list(timing.stable_warm_up(lambda: next(settling)))
    assert timing.WARM_UP_MIN < len(warm_up) < timing.WARM_UP_MAX
    assert set(warm_up[-5:]) == {1.0}
    restless = itertools.cycle([1.0] * 5 + [2.0] * 5)
    growing = (value * 1.1**number for number, value in enumerate(restless))
    assert len(list(timing.stable_warm_up(lambda: next(growing)))) == timing.WARM_UP_MAX
