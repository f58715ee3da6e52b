"""End to end with n decoders: what limits, reading or the model."""

import os
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.gpu.place import Place, Result
from benchmarks.one_pass import job, make_videos
from jobs.data.labels import read_labels
from jobs.spec.blocks import split
from jobs.spec.cells import Cell
from jobs.work.evaluate import Scorer


def run(place: Place) -> None:
    name, reductions = ("vit_demo", ["none"]) if place.small else ("vit_large", ["none", "sta:r=64"])
    headers = "model", "reduction", "decoders", "videos/s", "clips/s", "clips/s of the model", "limited by"
    result = place.table("End to end, 5x3 views of 10-second 340×256 videos: decoding beside the model", *headers)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        labels = make_videos(Path(folder), 2 if place.small else 8)
        if not place.small:
            _repeat(labels, 6)
        for decoders in (1,) if place.small else (cores - 1, cores // 2, 4):
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
        block=2 if place.small else 8,
        decoders=decoders,
    )
    scorer = Scorer(asked)
    forward = 0.0
    taken = scorer._forward

    def timed(*given: object) -> object:
        nonlocal forward
        found: list[object] = []
        forward += place.seconds(lambda: found.append(taken(*given)))  # type: ignore[arg-type]
        return found[0]

    scorer._forward = timed  # type: ignore[assignment, method-assign]
    items = read_labels(str(labels), str(labels.parent), 16)
    clips, began = 0, time.perf_counter()
    for _, content in scorer.blocks(items, split(len(items), asked.block)):
        clips += content.forwards
    seconds = time.perf_counter() - began
    limit = "the model" if forward > 0.8 * seconds else "reading"
    result.add(
        name, reduction, str(decoders), f"{len(items) / seconds:.2f}", f"{clips / seconds:.1f}",
        f"{clips / forward:.1f}", limit,
    )  # fmt: skip
