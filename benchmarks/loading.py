"""What a core loads of training samples, beside what a V100 needs: augmented clips of 10-second 340×256 videos.

    python -m benchmarks.loading

Costs are CPU seconds of all threads of one decoder process, which makes samples as it does for a training, by the
paper's recipe. The videos are made on the spot, with grain that brings them to the size of Kinetics' (half a megabyte).
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest import mock

import tabulate

from benchmarks.one_pass import FRAMES, HEIGHT, RATE, WIDTH, make_videos
from jobs.data import samples
from jobs.data.decoding.faults import Unreadable
from jobs.data.pool import DecodePool
from jobs.data.samples import SampleRequest
from jobs.spec.recipe import Recipe
from jobs.spec.sampling import sampling

GRAIN = 9
SIDE, CLIP, STRIDE, BRANCHES = 224, 16, 4, 24  # ViT-B's
ROUNDS = 16

VIDEOS, EPOCHS, GPUS, HOURS = 240_000, 100, 32, 28
"""The paper's run on Kinetics-400 (supplement, Table 1 and section A)."""

STAGES = {
    "decode": "decode what the clips need, resize their frames",
    "cut": "crop, resize, flip",
    "augment": "RandAugment",
    "send": "pickle and send",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("--videos", type=int, default=2, help="how many videos to make and to read in turn (2)")
    count = parser.parse_args().videos
    with tempfile.TemporaryDirectory() as folder:
        make_videos(Path(folder), count, GRAIN)
        files = sorted(str(file) for file in Path(folder).glob("*.mp4"))
        size = sum(Path(file).stat().st_size for file in files) / count
        costs = measure(files)
    print(f"{count} videos of {FRAMES / RATE:.0f} s, {WIDTH}×{HEIGHT}, {size / 1e6:.2f} MB; one decoder process\n")
    print(report(costs))


def measure(files: list[str]) -> dict[int, dict[str, float]]:
    """For 1 clip a video and for the recipe's number: the mean CPU seconds a video of each stage.

    `take` is this process's own share, `wall` the time from question to answer.
    """
    from benchmarks.loading import timed  # a decoder cannot import this module by the name it runs under

    found: dict[int, list[dict[str, float]]] = {1: [], Recipe.repeats: []}
    with DecodePool(1, 60, decode=timed) as pool:
        pool.submit(files[0], _request(1, 0)).result()  # the first warms up
        previous: dict[str, float] = {}
        for number in range(ROUNDS):
            for copies, costs in found.items():
                wall, took = time.perf_counter(), time.process_time()
                answer = pool.submit(files[number % len(files)], _request(copies, number)).result()
                if isinstance(answer, Unreadable):
                    raise answer
                cost = answer[1] | {"wall": time.perf_counter() - wall, "take": time.process_time() - took}
                if previous:
                    previous["send"] = cost["begun"] - previous["done"]
                costs.append(cost)
                previous = cost
    found[Recipe.repeats].pop()  # what its answer cost was not told
    return {
        copies: {key: fmean(cost[key] for cost in costs) for key in (*STAGES, "take", "wall")}
        for copies, costs in found.items()
    }


def _request(copies: int, number: int) -> SampleRequest:
    recipe = Recipe()
    return SampleRequest.by(
        recipe,
        seeds=tuple((recipe.seed, 0, number, copy) for copy in range(copies)),
        sampling=sampling("videomae", "kinetics", CLIP, STRIDE),
        side=SIDE,
        branches=BRANCHES,
    )


def timed(file: str, request: SampleRequest) -> tuple[samples.Samples, dict[str, float]]:
    """Runs in the decoder: the samples, the CPU seconds of the stages, and its clock before and after."""
    seconds = {"begun": time.process_time(), "decode": 0.0, "augment": 0.0}

    def clocked(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any) -> Any:
            begun = time.process_time()
            result = function(*args)
            seconds[stage] += time.process_time() - begun
            return result

        return call

    with mock.patch.multiple(
        samples,
        read_spans=clocked("decode", samples.read_spans),
        augmented=clocked("augment", samples.augmented),
    ):
        answer = samples.read_samples(file, request)
    seconds["done"] = time.process_time()
    seconds["cut"] = seconds["done"] - seconds["begun"] - seconds["decode"] - seconds["augment"]
    return answer, seconds


def report(costs: dict[int, dict[str, float]]) -> str:
    """Markdown: what a video costs by stage, what comes of it a core, and what that means for a GPU."""
    totals = {copies: sum(cost[stage] for stage in STAGES) for copies, cost in costs.items()}
    rates = {copies: copies / total for copies, total in totals.items()}
    need = VIDEOS * Recipe.repeats * EPOCHS / GPUS / (HOURS * 3600)
    rows = [
        [text, *(f"{1000 * cost[stage]:.0f} ms, {cost[stage] / totals[copies]:.0%}" for copies, cost in costs.items())]
        for stage, text in STAGES.items()
    ]
    rows.append(["in all", *(f"{1000 * total:.0f} ms" for total in totals.values())])
    rows.append(["**samples/s a core**", *(f"**{rate:.2f}**" for rate in rates.values())])
    rows.append([f"cores a V100, for {need:.1f} samples/s", *(f"{need / rate:.1f}" for rate in rates.values())])
    rows.append(
        ["samples/s of one decoder, waiting included", *(f"{n / cost['wall']:.2f}" for n, cost in costs.items())]
    )
    rows.append(["the training process, to take them", *(f"{1000 * cost['take']:.0f} ms" for cost in costs.values())])
    headers = ["CPU time a video", *(f"{copies} clip{'s' * (copies > 1)} a video" for copies in costs)]
    several = Recipe.repeats
    limit = max(STAGES, key=lambda stage: costs[several][stage])
    lines = [
        tabulate.tabulate(rows, headers, tablefmt="pipe"),
        "",
        f"A V100 needs {need:.1f} samples/s in the paper's run of ViT-B: {VIDEOS:,} videos × {several} samples × "
        f"{EPOCHS} epochs / {GPUS} GPUs / {HOURS} h.",
        f"What limits it: {STAGES[limit]}, {costs[several][limit] / totals[several]:.0%} of the time.",
        f"{several} clips of a video cost {totals[several] / several / totals[1]:.0%} a clip of what they cost alone.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
