"""What clips cost whose numbers of tokens hang on what they show, counted where they are evaluated."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from jobs.data.labels import read_labels
from jobs.data.reader import read_video
from jobs.node.device import normalise
from jobs.spec.cells import Cell
from jobs.spec.jobs import Evaluate
from jobs.spec.wire import to_dict
from jobs.work.clips import clip_request, cut, views_of_video
from models import count_flops, create_model
from models.reduction import Choice, Seen
from models.reduction.rlt import RLT
from models.trajectories import Trajectories
from results.files import write_json
from results.progress import job_folder, read_job
from results.records import Record, read_records
from tests.jobs.small_set import CLASSES, make_job, make_set, make_weights
from tests.jobs.submitted import run_here

REDUCTION = "rlt:tau=0.3"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return make_set(tmp_path / "set")


def records(job: Evaluate, runs: Path) -> dict[Cell, Record]:
    write_json(
        job_folder(runs, job.id) / "job.json", {"id": job.id, "tasks": 1, "profile": "test", "spec": to_dict(job)}
    )
    with suppress(RuntimeError):
        run_here(runs, (job.id, 0))
    return {Cell(**record.cell): record for record in read_records(runs)[0]}


def test_it_is_the_mean_over_the_views_of_the_dataset(labels: Path, tmp_path: Path) -> None:
    """Of a short video a grid has some views more than once."""
    grids = ("2x1", "5x3")
    cells = tuple(Cell("vit_demo", REDUCTION, "set", grid, one) for grid in grids for one in ("top1", "gflops"))
    job = make_job(labels, make_weights(tmp_path / "demo.safetensors"), cells)
    found = records(job, tmp_path)
    assert found.keys() == set(cells)
    model = create_model("vit_demo", REDUCTION, CLASSES)
    for grid in grids:
        costs = []
        for item in read_labels(str(labels), str(labels.parent), CLASSES):
            video = read_video(item.file, clip_request(job.dataset, model.arch, (grid,)))
            views, members = views_of_video(job, video, (grid,))
            frames = torch.from_numpy(video.frames)
            clips = [normalise(cut(frames, video, view, model.arch.image)[None], model.arch) for view in views]
            counted = [count_flops(model, clip=clip) for clip in clips]
            costs += [counted[row] for row in members[grid]]
        record = found[Cell("vit_demo", REDUCTION, "set", grid, "gflops")]
        assert record.value == pytest.approx(np.mean(costs) / 1e9)
        assert record.samples["std"] == pytest.approx(np.std(costs) / 1e9)
        assert (record.samples["least"], record.samples["most"]) == (min(costs) / 1e9, max(costs) / 1e9)
        assert record.samples["views"] == len(costs)
        assert record.samples["least"] < record.samples["most"]


def test_a_trajectory_sum_is_the_mean_over_the_views_of_the_dataset(labels: Path, tmp_path: Path) -> None:
    """Beside accuracies of the same pass, which are as without it."""
    weights = make_weights(tmp_path / "demo.safetensors")
    reductions = ("none", "sta:r=12")
    accuracies = [Cell("vit_demo", reduction, "set", "2x1", "top1") for reduction in reductions]
    sums = [Cell("vit_demo", reduction, "set", "2x1", "trajectory_sum") for reduction in reductions]
    job = make_job(labels, weights, (*accuracies, *sums))
    found = records(job, tmp_path / "both")
    without = records(make_job(labels, weights, tuple(accuracies)), tmp_path / "without")
    for cell in accuracies:
        both, only = found[cell], without[cell]
        assert (both.value, both.samples["answers"]) == (only.value, only.samples["answers"])
    for cell in sums:
        model = create_model("vit_demo", cell.reduction, CLASSES)
        model.load_state_dict(load_file(weights))
        values = []
        for item in read_labels(str(labels), str(labels.parent), CLASSES):
            video = read_video(item.file, clip_request(job.dataset, model.arch, ("2x1",)))
            views, members = views_of_video(job, video, ("2x1",))
            frames = torch.from_numpy(video.frames)
            clips = [normalise(cut(frames, video, view, model.arch.image)[None], model.arch) for view in views]
            seen = Trajectories(model.reduction, model.arch, len(clips))
            with torch.inference_mode():
                model(torch.cat(clips), observers=(seen,))
            taken = seen.values()
            values += [taken[row] for row in members["2x1"]]
        assert found[cell].value == pytest.approx(np.mean(values), rel=1e-4)
        assert found[cell].samples["views"] == len(values)
        assert found[cell].samples["std"] == pytest.approx(np.std(values), rel=1e-3)
    assert found[sums[0]].value != found[sums[1]].value


def test_a_method_that_leaves_out_its_own_products_is_refused(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = RLT.choose

    def with_products(self: RLT, seen: Seen) -> Choice:
        _ = seen.tokens @ seen.tokens.transpose(1, 2)
        return choose(self, seen)

    monkeypatch.setattr(RLT, "choose", with_products)
    cells = (Cell("vit_demo", REDUCTION, "set", "1x1", "gflops"),)
    job = make_job(labels, make_weights(tmp_path / "demo.safetensors"), cells)
    assert records(job, tmp_path) == {}
    assert "rlt:tau=0.3: RLT.products leaves out some of its products: " in read_job(tmp_path, job.id).error
