"""One pass against cell by cell: Table 2's 20 cells on 10-second 340×256 videos.

    python -m benchmarks.one_pass [--videos 4]

Both ways run the evaluation's own code with the demo model, each in a process of its own, on the same generated videos.
Times leave out start-up; peak memory is that of the evaluating process.
"""

import argparse
import itertools
import json
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tabulate

from jobs.data.encoding import X264
from jobs.spec.blocks import split
from jobs.spec.cells import Cell
from jobs.spec.jobs import Dataset, Evaluate
from jobs.spec.sources import NO_WEIGHTS

GRIDS = ("2x3", "4x3", "6x3", "8x3", "16x3")
REDUCTIONS = ("none", "sta:r=12", "sta:r=16", "sta:r=20")
FRAMES, WIDTH, HEIGHT, RATE = 300, 340, 256, 30
ENCODERS = {
    "libx264": {"x264-params": X264},
    "libx265": {"x265-params": "log-level=none:pools=1", "preset": "fast"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "6", "b": "400k"},
    "mpeg4": {"b": "600k", "g": "250", "bf": "2"},
}
"""How videos are encoded, by FFmpeg's names."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_pass", description=__doc__)
    parser.add_argument("--videos", type=int, default=4, help="how many videos to evaluate (4)")
    videos = parser.parse_args().videos
    with tempfile.TemporaryDirectory() as folder:
        labels = make_videos(Path(folder), videos)
        cells = tuple(Cell("vit_demo", *pair, "top1") for pair in _places())
        fused = _apart([job(labels, cells)])
        alone = _apart([job(labels, (cell,)) for cell in cells])
    assert fused["scores"].keys() == alone["scores"].keys()
    apart = max(abs(np.subtract(fused["scores"][key], alone["scores"][key])).max() for key in fused["scores"])
    views = len(REDUCTIONS) * 3 * sum(int(grid.partition("x")[0]) for grid in GRIDS)
    rows = [
        ["decodes a video", fused["decodes"] / videos, alone["decodes"] / videos, f"{views} (by their design)"],
        ["forwards a video", fused["forwards"] / videos, alone["forwards"] / videos, f"{views} (by their design)"],
        ["wall time, s", round(fused["seconds"], 1), round(alone["seconds"], 1), ""],
        ["peak memory, MiB", round(fused["memory"]), round(alone["memory"]), ""],
    ]
    print(tabulate.tabulate(rows, ["", "one pass", "cell by cell", "public scripts"]))
    print(f"wall time, one pass / cell by cell: {fused['seconds'] / alone['seconds']:.2f}")
    print(f"largest difference between a video's scores of the two ways: {apart:.1e}")


def _places() -> list[tuple[str, str, str]]:
    return [(reduction, "bench", grid) for reduction, grid in itertools.product(REDUCTIONS, GRIDS)]


def make_videos(folder: Path, count: int, grain: int = 0, encoder: str = "libx264") -> Path:
    """Write `count` videos of a drifting texture and a label file; returns the latter.

    `grain` is the largest noise of a pixel, in grey levels, and so decides how many bits there are to decode.
    """
    import av

    for number in range(count):
        rng = np.random.default_rng(number)
        texture = rng.integers(0, 256, (16, 16, 3), np.uint8).repeat(40, 0).repeat(40, 1)
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream = container.add_stream(encoder, rate=Fraction(RATE), options=dict(ENCODERS[encoder]))
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"  # type: ignore[union-attr]
            for t in range(FRAMES):
                noise = rng.integers(-grain, grain, (HEIGHT, WIDTH, 1), endpoint=True)
                shown = texture[t // 2 : t // 2 + HEIGHT, t // 2 : t // 2 + WIDTH] + noise
                picture = shown.clip(0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))  # type: ignore[union-attr]
            container.mux(stream.encode())  # type: ignore[union-attr]
    labels = folder / "val.txt"
    labels.write_text("".join(f"{number}.mp4 {number % 16}\n" for number in range(count)))
    return labels


def job(labels: Path, cells: tuple[Cell, ...]) -> Evaluate:
    """The evaluation of `cells`, as the demo profile would run it, with weights left random."""
    dataset = Dataset("bench", str(labels), "", str(labels.parent), 16, "kinetics", 4)
    return Evaluate(
        cells=cells,
        model="vit_demo",
        checkpoint=NO_WEIGHTS,
        dataset=dataset,
        precision="fp32",
        limit=0,
        batch_size=8,
        block=4,
        decoders=1,
        decode_timeout_s=60,
        tolerance=0,
        threads=1,
    )


def _apart(jobs: list[Evaluate]) -> dict[str, Any]:
    """Run the jobs in a fresh process and return what it measured."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return json.loads(pool.submit(_run, jobs).result())


def _run(jobs: list[Evaluate]) -> str:
    import torch

    from jobs.data.labels import read_labels
    from jobs.work.evaluate import Scorer

    out: dict[str, Any] = {"decodes": 0, "forwards": 0, "seconds": 0.0, "scores": {}}
    for one in jobs:
        torch.manual_seed(0)
        items = read_labels(one.dataset.labels, one.dataset.root, 16)
        scorer, began = Scorer(one), time.perf_counter()
        for _, block in scorer.blocks(items, split(len(items), one.block)):
            out["decodes"] += block.decodes
            out["forwards"] += block.forwards
            for cell, (index, scores) in itertools.product(one.cells, block.scores.items()):
                score = scores[cell.reduction].video_score(cell.views)
                out["scores"][f"{index} {cell.reduction} {cell.views}"] = score.tolist()
        out["seconds"] += time.perf_counter() - began
    out["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return json.dumps(out)


if __name__ == "__main__":
    main()
