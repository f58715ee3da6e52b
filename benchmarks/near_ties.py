"""How much of an accuracy hangs on the order of nearly equal scores: the same clips by other threads, batches, kernels.

    python -m benchmarks.near_ties [--runs DIR] [--reductions none sta:r=16 tome:r=30 pitome:ratio=0.95 …]

Evaluates the demo model on the val split of glimpse, made where it is missing, in float32: with 1 and 2 threads,
batches of 1 and 16, fused and explicit attention. Prints of each reduction the accuracies, how many videos change their
answer between any two of these, and the largest relative difference of a clip's logits.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

import models
from jobs.data import glimpse
from jobs.data.reader import read_video
from jobs.data.requests import ClipRequest
from jobs.node.device import normalise
from jobs.spec.sampling import sampling
from models import create_model, load_checkpoint
from models.catalog import architecture
from models.video_model import VideoModel

WEIGHTS = Path(models.__file__).parent / "weights" / "vit_glimpse.safetensors"
WAYS = list(itertools.product((1, 2), (1, 16), (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH)))


def read_clips(root: Path) -> tuple[Tensor, Tensor]:
    """The only clip of each val video, normalised, and the labels."""
    glimpse.SET.generate(root, "val")
    videos = glimpse.SET.videos("val")
    request = ClipRequest(sampling("videomae", "kinetics", 16, glimpse.STRIDE), ("1x1",), glimpse.SIDE)
    frames = [torch.from_numpy(read_video(root / video.path, request).frames) for video in videos]
    return normalise(torch.stack(frames), architecture("vit_demo")), torch.tensor([video.label for video in videos])


@torch.inference_mode()
def logits_of(model: VideoModel, clips: Tensor, threads: int, batch: int, kernel: SDPBackend) -> Tensor:
    torch.set_num_threads(threads)
    with sdpa_kernel(kernel):
        return torch.cat([model(part) for part in clips.split(batch)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.near_ties", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="a runs folder whose videos are used")
    methods = ["none", "sta:r=16", "tome:r=15", "tome:r=30", "vidtldr:r=175", "pitome:ratio=0.95", "rlt:tau=0.1"]
    parser.add_argument("--reductions", nargs="+", default=methods)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        clips, labels = read_clips(options.runs / "glimpse" if options.runs else Path(folder))
    model = create_model("vit_demo", num_classes=len(glimpse.CLASSES)).eval()
    load_checkpoint(model, WEIGHTS)
    for reduction in options.reductions:
        model.set_reduction(reduction)
        found = [logits_of(model, clips, *way) for way in WAYS]
        answers = [one.argmax(dim=1) for one in found]
        accuracies = [100 * (one == labels).double().mean().item() for one in answers]
        pairs = list(itertools.combinations(range(len(WAYS)), 2))
        changed = max(int((answers[a] != answers[b]).sum()) for a, b in pairs)
        strays = max(((found[a] - found[b]).norm(dim=1) / found[a].norm(dim=1)).max().item() for a, b in pairs)
        rows.append([reduction, f"{min(accuracies):.2f}", f"{max(accuracies):.2f}", changed, f"{strays:.1e}"])
    print(
        f"{len(labels)} videos, float32, {len(WAYS)} ways: threads 1 and 2, batches of 1 and 16, attention fused or not"
    )
    print(tabulate(rows, ["", "least top-1", "most", "answers that change", "logits differ by"], disable_numparse=True))


if __name__ == "__main__":
    main()
