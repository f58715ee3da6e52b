"""The one pass with a Video Swin against its protocol word by word: its own clips, sizes and crops."""

import itertools
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from safetensors.torch import save_file

from jobs.data.labels import read_labels
from jobs.spec.cells import Cell
from jobs.spec.jobs import Checkpoint
from jobs.work.evaluate import Scorer
from models import create_model, load_checkpoint
from tests.jobs.small_set import CLASSES, make_job, make_set

GRIDS, REDUCTIONS = ("4x3", "1x3", "2x1"), ("none", "sta:r=60", "random:r=60")


def test_one_pass_is_the_protocol_of_a_video_swin(tmp_path: Path) -> None:
    labels = make_set(tmp_path, videos=2, frames=60, size=(66, 50))  # 73.92 wide: rounded up
    torch.manual_seed(1)
    model = create_model("swin_demo", num_classes=CLASSES).eval()
    with torch.no_grad():
        model.head.weight.mul_(4)
    weights = tmp_path / "swin.safetensors"
    save_file(model.state_dict(), weights)
    cells = tuple(Cell("swin_demo", *one, "top1") for one in itertools.product(REDUCTIONS, ("set",), GRIDS))
    job = make_job(labels, weights, cells, model="swin_demo", checkpoint=Checkpoint.of(weights))
    items = read_labels(job.dataset.labels, job.dataset.root, CLASSES)
    ((_, block),) = Scorer(job).blocks(items, [(0, 2)])
    load_checkpoint(model, weights)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for item in items:
        with av.open(item.file) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        frames = [cv2.resize(frame, (74, 56), interpolation=cv2.INTER_LINEAR) for frame in frames]
        for reduction, grid in itertools.product(REDUCTIONS, GRIDS):
            model.set_reduction(reduction)
            clips, crops = map(int, grid.split("x"))
            gap = (len(frames) - 64 + 1) / clips
            total = np.zeros(CLASSES)
            for k, j in itertools.product(range(clips), range(crops)):
                first = int(k * gap + gap / 2) if len(frames) > 63 else 0
                left = j * ((74 - 56) // 2) if crops > 1 else (74 - 56) // 2
                clip = [frames[(first + 4 * i) % len(frames)][:, left : left + 56] for i in range(16)]
                video = (torch.from_numpy(np.stack(clip)) / 255 - mean) / std
                with torch.inference_mode():
                    total += model(video.permute(3, 0, 1, 2)[None]).softmax(-1)[0].double().numpy()
            found = block.scores[item.index][reduction].video_score(grid)
            # The two decoders round colours differently, and a choice may hang on that.
            assert np.abs(found - total / (clips * crops)).max() < 2e-3, (item.index, reduction, grid)
    assert block.decodes == 2
    assert block.forwards == 3 * sum(len(block.scores[index]["none"].probabilities) for index in (0, 1))


def test_a_video_shorter_than_a_clip_has_one(tmp_path: Path) -> None:
    labels = make_set(tmp_path, videos=1, frames=40)
    weights = tmp_path / "swin.safetensors"
    save_file(create_model("swin_demo", num_classes=CLASSES).state_dict(), weights)
    cells = (Cell("swin_demo", "none", "set", "4x1", "top1"),)
    job = make_job(labels, weights, cells, model="swin_demo", checkpoint=Checkpoint.of(weights))
    items = read_labels(job.dataset.labels, job.dataset.root, CLASSES)
    ((_, block),) = Scorer(job).blocks(items, [(0, 1)])
    assert len(block.scores[0]["none"].probabilities) == 1
