"""The one pass against a literal evaluation, view by view, and against itself shared out differently."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from jobs.spec.blocks import split
from jobs.spec.cells import Cell
from jobs.spec.jobs import Evaluate
from jobs.spec.kernels import Kernels
from jobs.spec.wire import to_dict
from jobs.work.scores import Block, BlockStore, ViewScores
from models import create_model, load_checkpoint
from results.files import write_json
from results.progress import job_folder, read_job
from results.records import read_records
from tests.bad_videos import numbered_frames, write_video
from tests.jobs.small_set import CLASSES, make_dataset, make_job, make_set, make_weights
from tests.jobs.submitted import run_here, submit

GRIDS = ("1x1", "2x3", "3x2", "16x1")
REDUCTIONS = ("none", "sta:r=12", "random:r=20")
CELLS = tuple(
    Cell("vit_demo", reduction, "set", grid, metric)
    for reduction, grid, metric in itertools.product(REDUCTIONS, GRIDS, ("top1", "top5"))
)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights") / "demo.safetensors")


def start(job: Evaluate, runs: Path, tasks: int = 1) -> dict[Cell, float]:
    """Run all tasks of a job, one after the other, and return the values of its records."""
    content = {"id": job.id, "tasks": tasks, "profile": "test", "spec": to_dict(job)}
    write_json(job_folder(runs, job.id) / "job.json", content)
    for index in range(tasks):
        with suppress(RuntimeError):
            run_here(runs, (job.id, index))
    return {Cell(**record.cell): record.value for record in read_records(runs)[0]}


def start_apart(job: Evaluate, runs: Path, tasks: int) -> dict[Cell, float]:
    """As `start`, with a process for each task, all at the same time."""
    content = {"id": job.id, "tasks": tasks, "profile": "test", "spec": to_dict(job)}
    write_json(job_folder(runs, job.id) / "job.json", content)
    name = submit(runs, [(job.id, index) for index in range(tasks)], "array", executor="slurm")
    command = [sys.executable, "-c", "import sys; from jobs.run import run_submission; run_submission(*sys.argv[1:])"]
    environments = [os.environ | {"SLURM_ARRAY_TASK_ID": str(index)} for index in range(tasks)]
    processes = [subprocess.Popen([*command, str(runs), name], env=one) for one in environments]
    assert [process.wait(timeout=240) for process in processes] == [0] * tasks
    return {Cell(**record.cell): record.value for record in read_records(runs)[0]}


def video_scores(job: Evaluate, runs: Path, videos: int) -> dict[tuple[int, str, str], np.ndarray]:
    store = BlockStore(job_folder(runs, job.id) / "blocks")
    found = {}
    for block in split(videos, job.block):
        for index, scores in store.read(block).scores.items():
            for reduction, grids in job.requests().items():
                found |= {(index, reduction, grid): scores[reduction].video_score(grid) for grid in grids}
    return found


def literal_scores(labels: Path, weights: Path) -> tuple[dict[tuple[int, str, str], np.ndarray], list[int]]:
    """The protocol word by word: every view of every grid decodes the whole video and runs alone."""
    model = create_model("vit_demo", num_classes=CLASSES).eval()
    load_checkpoint(model, weights)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    found, truth = {}, []
    for index, line in enumerate(labels.read_text().splitlines()):
        name, label = line.rsplit(" ", 1)
        truth.append(int(label))
        with av.open(str(labels.parent / name)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        strided = [cv2.resize(frame, (74, 56), interpolation=cv2.INTER_LINEAR) for frame in frames[::4]]
        for reduction, grid in itertools.product(REDUCTIONS, GRIDS):
            model.set_reduction(reduction)
            clips, crops = map(int, grid.split("x"))
            room, total = max(len(strided) - 16, 0), np.zeros(CLASSES)
            for k, j in itertools.product(range(clips), range(crops)):
                first = int(k * room / (clips - 1)) if clips > 1 else room // 2
                left = int(j * (74 - 56) / (crops - 1)) if crops > 1 else (74 - 56) // 2
                clip = [strided[min(first + i, len(strided) - 1)][:, left : left + 56] for i in range(16)]
                video = (torch.from_numpy(np.stack(clip)) / 255 - mean) / std
                with torch.inference_mode():
                    total += model(video.permute(3, 0, 1, 2)[None]).softmax(-1)[0].double().numpy()
            found[index, reduction, grid] = total / (clips * crops)
    return found, truth


@dataclass
class Pass:
    """The one pass over all cells, undisturbed and in one process."""

    job: Evaluate
    values: dict[Cell, float]
    scores: dict[tuple[int, str, str], np.ndarray]
    samples: dict[str, Any]


@pytest.fixture(scope="module")
def fused(labels: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Pass:
    job, runs = make_job(labels, weights, CELLS), tmp_path_factory.mktemp("fused")
    values = start(job, runs)
    return Pass(job, values, video_scores(job, runs, 5), read_records(runs)[0][0].samples)


def test_one_pass_is_the_protocol(labels: Path, weights: Path, fused: Pass) -> None:
    expected, truth = literal_scores(labels, weights)
    found, values = fused.scores, fused.values
    assert found.keys() == expected.keys()
    for key, score in expected.items():
        assert np.abs(found[key] - score).max() < 2e-3, key  # the two decoders round colours differently
    for cell in CELLS:
        top = 5 if cell.metric == "top5" else 1
        mine = {i: found[i, cell.reduction, cell.views] for i in range(len(truth))}
        hits = sum(truth[i] in np.argsort(-score)[:top] for i, score in mine.items())
        assert values[cell] == 100 * hits / len(truth)


@pytest.mark.parametrize(("tasks", "apart"), [(2, start_apart), (7, start)])
def test_any_number_of_tasks_gives_the_same_scores(
    fused: Pass, tmp_path: Path, tasks: int, apart: Callable[..., dict[Cell, float]]
) -> None:
    assert apart(fused.job, tmp_path, tasks) == fused.values
    scores = video_scores(fused.job, tmp_path, 5)
    assert scores.keys() == fused.scores.keys()
    assert max(np.abs(score - scores[key]).max() for key, score in fused.scores.items()) < 1e-5


def test_every_cell_alone_gives_the_same(labels: Path, weights: Path, fused: Pass, tmp_path: Path) -> None:
    for cell in CELLS[::5]:
        alone = make_job(labels, weights, (cell,))
        assert start(alone, tmp_path)[cell] == fused.values[cell]
        for key, score in video_scores(alone, tmp_path, 5).items():
            assert np.abs(score - fused.scores[key]).max() < 1e-5


def test_each_distinct_view_runs_once_and_each_video_is_decoded_once(fused: Pass) -> None:
    distinct = 0
    for length in (90, 97, 104, 111, 118):
        strided = -(-length // 4)
        room = max(strided - 16, 0)
        views = set()
        for clips, crops in ((1, 1), (2, 3), (3, 2), (16, 1)):
            starts = [k * room // (clips - 1) if clips > 1 else room // 2 for k in range(clips)]
            lefts = [j * 18 // (crops - 1) if crops > 1 else 9 for j in range(crops)]
            views |= set(itertools.product(starts, lefts))
        distinct += len(views)
    assert fused.samples["forwards"] == len(REDUCTIONS) * distinct
    assert fused.samples["decodes"] == 5


def test_finished_blocks_are_not_done_again(labels: Path, weights: Path, tmp_path: Path) -> None:
    job = make_job(labels, weights, CELLS[:4])
    values = start(job, tmp_path)
    folder = job_folder(tmp_path, job.id)
    files = sorted((folder / "blocks").glob("*.npz"))
    assert len(files) == 3
    files[1].unlink()
    for record in (tmp_path / "records").iterdir():
        record.unlink()
    stamps = {file: file.stat().st_mtime_ns for file in (files[0], files[2])}
    assert start(job, tmp_path) == values
    assert {file: file.stat().st_mtime_ns for file in stamps} == stamps
    assert files[1].exists()


def test_blocks_of_earlier_versions_have_their_multiply_adds(tmp_path: Path) -> None:
    store, costs = BlockStore(tmp_path), np.array([3, 4], np.int64)
    scores = ViewScores(np.zeros((2, 5), np.float32), {"2x1": np.array([0, 1])}, {"costs": costs})
    store.write((0, 1), Block({0: {"rlt": scores}}))
    assert store.read((0, 1)).scores[0]["rlt"].per_clip["gflops"].tolist() == [3, 4]


def test_damaged_block_is_noticed_and_made_again(labels: Path, weights: Path, tmp_path: Path) -> None:
    job = make_job(labels, weights, CELLS[:4])
    values = start(job, tmp_path)
    block = sorted((job_folder(tmp_path, job.id) / "blocks").glob("*.npz"))[0]
    block.write_bytes(block.read_bytes()[:-400])
    for record in (tmp_path / "records").iterdir():
        record.unlink()
    assert start(job, tmp_path) == {}
    assert "damaged" in read_job(tmp_path, job.id).error
    assert read_job(tmp_path, job.id).tasks[0].retry
    assert start(job, tmp_path) == values


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_told_to_stop_it_keeps_the_finished_blocks_and_goes_on_from_them(
    number: signal.Signals, labels: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, write = make_job(labels, weights, CELLS[:4]), BlockStore.write
    undisturbed = start(job, tmp_path / "undisturbed")

    def write_and_tell(store: BlockStore, block: tuple[int, int], content: Block) -> None:
        write(store, block, content)
        os.kill(os.getpid(), number)

    for done in (1, 2, 3):
        with monkeypatch.context() as patch:
            patch.setattr(BlockStore, "write", write_and_tell)
            values = start(job, tmp_path / "stopped")
        assert len(list((job_folder(tmp_path / "stopped", job.id) / "blocks").iterdir())) == done
    assert values == undisturbed  # after the last block nothing is left to stop
    assert read_job(tmp_path / "stopped", job.id).tasks[0].restarts == 2


def test_what_other_hosts_have_finished_is_looked_for_afresh(tmp_path: Path) -> None:
    store = BlockStore(tmp_path / "blocks")
    store.write((0, 2), Block())
    before = store.folder.stat().st_mtime_ns
    assert store.finished([(0, 2), (2, 4)]) == {(0, 2)}
    assert store.folder.stat().st_mtime_ns == before
    assert store.finished([(0, 2), (2, 4)], fresh=True) == {(0, 2)}
    assert store.folder.stat().st_mtime_ns > before, "a network file system would show its folder as it was"
    assert os.listdir(store.folder) == [store.path((0, 2)).name]


def test_limit_gives_a_partial_value(labels: Path, weights: Path, tmp_path: Path) -> None:
    start(make_job(labels, weights, CELLS[:1], limit=3), tmp_path)
    (record,) = read_records(tmp_path)[0]
    assert (record.status, record.counts) == ("partial", {"evaluated": 3, "listed": 5})


@pytest.mark.parametrize(("tolerance", "outcome"), [(0.0, "failed"), (0.19, "failed"), (0.2, "done")])
def test_unreadable_videos_are_named_and_counted(
    labels: Path, weights: Path, tmp_path: Path, tolerance: float, outcome: str
) -> None:
    listing = tmp_path / "val.txt"
    lines = labels.read_text().splitlines()
    listing.write_text("\n".join([*lines[:3], "gone/clip.mp4 3", lines[3]]))
    dataset = replace(make_dataset(listing), root=str(labels.parent))
    job = make_job(listing, weights, CELLS[:2], tolerance=tolerance, dataset=dataset)
    start(job, tmp_path)
    progress = read_job(tmp_path, job.id)
    assert progress.state == outcome
    records = read_records(tmp_path)[0]
    if outcome == "failed":
        assert records == []
        assert "1 of 5 videos could not be read" in progress.error
        assert "gone/clip.mp4" in progress.error
        return
    for record in records:
        assert (record.status, record.counts) == ("partial", {"evaluated": 4, "listed": 5})
        assert [item["video"] for item in record.skipped] == ["gone/clip.mp4"]
        assert record.value == 100 * record.samples["correct"] / 4


def test_record_names_the_decoders_of_its_videos(labels: Path, weights: Path, tmp_path: Path) -> None:
    lines = labels.read_text().splitlines()
    write_video(tmp_path / "xvid.avi", numbered_frames(80, 64, 80), "mpeg4")
    (tmp_path / "set").symlink_to(labels.parent)
    (tmp_path / "val.txt").write_text("\n".join([*(f"set/{line}" for line in lines[:3]), "xvid.avi 3"]))
    job = make_job(tmp_path / "val.txt", weights, CELLS[:1], dataset=make_dataset(tmp_path / "val.txt"))
    start(job, tmp_path / "runs", tasks=2)
    (record,) = read_records(tmp_path / "runs")[0]
    assert record.samples["decoders"] == {"PyAV": 3, "decord": 1}


@pytest.mark.parametrize(("attention", "ran"), [("auto", "flash"), ("math", "math")])
def test_record_names_the_attention_that_its_reduction_ran(labels, weights, tmp_path, attention, ran) -> None:
    cells = tuple(replace(CELLS[0], reduction=one) for one in ("none", "sta:r=12"))
    start(make_job(labels, weights, cells, kernels=Kernels(attention=attention)), tmp_path / "runs", tasks=2)
    found = [record.samples["attention"] for record in read_records(tmp_path / "runs")[0]]
    assert [[ran in name for name in names] for names in found] == [[True], [True]]


def test_missing_video_that_came_back_is_evaluated(labels: Path, weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    listing = make_set(folder, videos=3, frames=70)
    (folder / "clip 1.mp4").rename(folder / "away.mp4")
    job = make_job(listing, weights, CELLS[:1])
    assert start(job, tmp_path) == {}
    (folder / "away.mp4").rename(folder / "clip 1.mp4")
    assert list(start(job, tmp_path)) == [CELLS[0]]


def test_error_of_a_task_is_one_line(labels: Path, weights: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:1000])
    job = make_job(labels, damaged, CELLS[:1])
    start(job, tmp_path)
    error = read_job(tmp_path, job.id).error
    assert "damaged.safetensors" in error
    assert "\n" not in error


@pytest.mark.parametrize("changed", ["labels", "weights"])
def test_inputs_that_changed_since_planning_are_refused(
    labels: Path, weights: Path, tmp_path: Path, changed: str
) -> None:
    mine = {"labels": tmp_path / "val.txt", "weights": tmp_path / "demo.safetensors"}
    mine["labels"].write_text(labels.read_text())
    mine["weights"].write_bytes(weights.read_bytes())
    dataset = replace(make_dataset(mine["labels"]), root=str(labels.parent))
    job = make_job(mine["labels"], mine["weights"], CELLS[:1], dataset=dataset)
    with open(mine[changed], "ab") as file:
        file.write(b"\n")
    assert start(job, tmp_path) == {}
    assert f"{mine[changed]} has changed since this job was planned" in read_job(tmp_path, job.id).error


def test_scores_that_are_no_numbers_fail_the_job(labels: Path, weights: Path, tmp_path: Path) -> None:
    state = load_file(weights)
    state["head.weight"] *= 1e38
    save_file(state, tmp_path / "huge.safetensors")
    job = make_job(labels, tmp_path / "huge.safetensors", CELLS[:1])
    assert start(job, tmp_path) == {}
    assert "gives scores that are not finite" in read_job(tmp_path, job.id).error


def test_cancelled_job_stops(labels: Path, weights: Path, tmp_path: Path) -> None:
    job = make_job(labels, weights, CELLS[:1])
    write_json(job_folder(tmp_path, job.id) / "cancelled", {})
    assert start(job, tmp_path) == {}
    assert read_job(tmp_path, job.id).error == "cancelled"
