"""End to end with n decoders: what limits, reading or the model."""

import os
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.gpu.place import Place, Result
from benchmarks.one_pass import job, make_videos
from jobs.data.labels import read_labels
from jobs.data.pool import DecodePool
from jobs.data.requests import Video
from jobs.spec.blocks import split
from jobs.spec.cells import Cell
from jobs.work.clips import clip_request
from jobs.work.evaluate import Scorer
from jobs.work.scores import Block
from models.catalog import architecture


def run(place: Place) -> None:
    name, reductions = ("vit_demo", ["none"]) if place.small else ("vit_large", ["none", "sta:r=64"])
    headers = (
        "model", "reduction", "decoders", "videos/s", "clips/s", "reading alone, videos/s", "scoring alone, videos/s",
        "limited by",
    )  # fmt: skip
    result = place.table("End to end, 5x3 views of 10-second 340×256 videos: decoding beside the model", *headers)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        labels = make_videos(Path(folder), 2 if place.small else 8)
        if not place.small:
            _repeat(labels, 12)
        for decoders in (1,) if place.small else sorted({max(cores - 1, 1), max(cores // 2, 1)}, reverse=True):
            for reduction in reductions:
                row = partial(_row, place, result, labels, name, reduction, decoders)
                place.attempt(result, f"{reduction}, {decoders} decoders", 10, row)


def _repeat(labels: Path, times: int) -> None:
    """List each video `times` times, by names of its own, as making videos takes longer than reading them."""
    lines = []
    for path, label in (line.split() for line in labels.read_text().splitlines()):
        for number in range(times):
            copy = labels.parent / f"{number}-{path}"
            copy.hardlink_to(labels.parent / path)
            lines.append(f"{copy.name} {label}")
    labels.write_text("\n".join(lines) + "\n")


def _row(place: Place, result: Result, labels: Path, name: str, reduction: str, decoders: int) -> None:
    asked = replace(
        job(labels, (Cell(name, reduction, "bench", "5x3", "top1"),)),
        model=name,
        precision="fp32" if place.device == "cpu" else place.precisions[0],
        batch_size=4 if place.small else 32,
        block=1 if place.small else 8,
        decoders=decoders,
    )
    items, scorer = read_labels(str(labels), str(labels.parent), 16), Scorer(asked)
    request = clip_request(asked.dataset, architecture(name), scorer.grids)
    first: dict[int, Video] = {}
    with DecodePool(decoders, asked.decode_timeout_s, ahead=asked.block) as pool:
        ends = []
        for number, video in pool.read((number, item.file, request) for number, item in enumerate(items)):
            ends.append(time.perf_counter())
            if number < asked.block and isinstance(video, Video):
                first[number] = video
    reading = _rate(ends[asked.block - 1 :])
    content = Block()
    (seconds,) = place.turns({"": lambda: scorer.score(first, content)}, 3).values()
    scoring = len(first) / median(seconds)
    blocks = scorer.blocks(items, split(len(items), asked.block))
    both = asked.block * _rate([time.perf_counter() for _ in blocks])
    views = sum(len(one.probabilities) for one in content.scores[0].values())
    rates = [f"{rate:.3g}" for rate in (both, both * views, reading, scoring)]
    result.add(name, reduction, decoders, *rates, "reading" if reading < scoring else "the model")


def _rate(ends: list[float]) -> float:
    """A second, from the first of these times, by which all has been started, to the last."""
    return (len(ends) - 1) / (ends[-1] - ends[0])
