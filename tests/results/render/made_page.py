"""A page made of nothing measured, for tests and for looking at: several tables, failures, hostile names, figures.

`python -m tests.results.render.made_page FILE [RECORDS]` writes one.
"""

import base64
import io
import math
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from results.records import Record
from results.render.page import Figure, Job, Log, Page, render_page
from results.render.page.content import Agreement, Changed, ChangedVideo, ClassChange, Judged
from results.render.plot import Plot, Point, Series
from results.render.table_view import Entry, TableView

HOSTILE = '<script>alert("x")</script>&amp;{{7*7}}\'"><img src=x onerror=alert(1)>.mp4'
"""A name that would do something in a page that takes names for more than text."""
COLUMNS = ("r=0", "r=48", "r=64", "r=80")
GRIDS = ("2x3", "4x3", "6x3", "8x3", "16x3")


def make_page(records: int = 0, live: bool = False, **changes: Any) -> Page:
    """A page with all kinds of cells; with `records`, one more table of so many rows with a record each."""
    views = [accuracies(), drops(), mixed(), trainings()]
    shown = [*accuracy_records(), *mixed_records(), *training_records(), figure_record()]
    if records:
        views.append(many(records))
        shown += [timing(f"many-{number}", f"sta:r={number}", number) for number in range(records)]
    content: dict[str, Any] = {
        "runs": "runs",
        "profile": "demo",
        "views": views,
        "records": shown,
        "total": len(shown) + 3,
        "jobs": jobs(),
        "attempts": {
            ("mixed", "3 stages", "clips/s"): "job-failed",
            ("mixed", HOSTILE, "clips/s"): "job-cancelled",
            ("mixed", "3 stages", "Top-1"): "job-running",
        },
        "plots": plots(),
        "figures": figures(),
        "changed": [sides()],
        "judged": [verdicts()],
        "warnings": ["records/half.json is ignored: not whole JSON"],
        "made": "" if live else "2026-03-02T10:00:00.000+00:00",
        "live": live,
    }
    return Page(**(content | changes))


def verdicts() -> Judged:
    """One of each kind, one with a hostile name."""
    rows = [
        ("agrees", ["r=48", "GFLOPs", "116", "115.9", "-0.1", "", "agrees: within one unit"]),
        ("differs", [HOSTILE, "Top-1", "85.05", "83.50", "-1.55", "83.00 to 84.00", f"differs: {HOSTILE}"]),
        ("not comparable", ["r=64", "Top-1", "85.00", "95.00", "+10.00", "", "not comparable: it is of vit_demo"]),
        ("not measured", ["r=80", "Top-1", "84.60", "", "", "", "not measured"]),
    ]
    return Judged("Accuracies", {word: 1 for word, _ in rows}, rows)


def sides() -> Changed:
    """Pairs, videos and classes of a table, one of each with a hostile name."""
    agreements = [Agreement("2x3, r=0", f"2x3, r={r}", 64, 3, number) for number, r in enumerate((48, 64, 80))]
    videos = [ChangedVideo(HOSTILE, "12", 3, 0), ChangedVideo("val/a.mp4", "3", 1, 1)]
    classes = [ClassChange(HOSTILE, "2x3, r=80", 4, 100.0, 50.0), ClassChange("3", "2x3, r=48", 4, 75.0, 100.0)]
    return Changed(f"Table 2 {HOSTILE}", agreements, 7, True, 15, videos, 2, classes)


def accuracies() -> TableView:
    entries = {}
    for row, grid in enumerate(GRIDS):
        for column, name in enumerate(COLUMNS):
            value, printed = 95.3125 - 1.5625 * column + 0.4 * row, 84.91 - 0.13 * column
            entries[grid, name] = Entry(grid, name, "top1", value, printed, "done", record=f"top1-{row}-{column}")
    notes = ["vit_demo on motion stands in for vit_large on k400", f"2 videos could not be read: {HOSTILE} (truncated)"]
    return TableView("table2", "Table 2. Views and drop numbers", "Views", list(GRIDS), list(COLUMNS), entries, notes)


def drops() -> TableView:
    entries = {
        (grid, name): Entry(
            *(grid, name, "top1", -1.5625 * place, -0.13 * place),
            **{"status": "done", "record": f"top1-{row}-{place}", "signed": True},
        )
        for row, grid in enumerate(GRIDS)
        for place, name in enumerate(COLUMNS[1:], 1)
    }
    columns = list(COLUMNS[1:])
    return TableView("table2-drops", "Table 2. Drops", "Views", list(GRIDS), columns, entries, derived="table2")


def mixed() -> TableView:
    """Every status there is."""
    found = [
        Entry("2 stages", "GFLOPs", "gflops", 302.84, 302.0, "done", inferred="r = 74 at 1, 13", record="gflops-2"),
        Entry("2 stages", "Top-1", "top1", 84.375, 84.5, "partial", evaluated=62, listed=64, record="top1-part"),
        Entry("2 stages", "clips/s", "clips_per_s", 31.26, None, "done", flags=["IQR is 14 %"], record="clips-2"),
        Entry("3 stages", "GFLOPs", "gflops", 308.0, 308.0, "done", record="gflops-3"),
        Entry("3 stages", "Top-1", "top1", None, 85.0, "running", progress=0.379),
        Entry("3 stages", "clips/s", "clips_per_s", None, None, "failed", note=f"out of memory at {HOSTILE}"),
        Entry(HOSTILE, "GFLOPs", "gflops", None, 305.0),
        Entry(HOSTILE, "Top-1", "top1", 96.0, 84.8, "projected", note="from 3 of 8 shards", record="top1-projected"),
        Entry(HOSTILE, "clips/s", "clips_per_s", None, None, "failed", note="cancelled", cancelled=True),
    ]
    entries = {(entry.row, entry.column): entry for entry in found}
    rows = ["2 stages", "3 stages", HOSTILE]
    return TableView("mixed", "Grid. STA blocks", "", rows, ["GFLOPs", "Top-1", "clips/s"], entries, ["made up"])


def trainings() -> TableView:
    hours = Entry("ViT-B", "Training (h)", "train_hours", 0.0572, 28.0, "done", record="hours")
    waiting = Entry("STA48-ViT-B", "Training (h)", "train_hours", None, 15.0)
    entries = {(entry.row, entry.column): entry for entry in (hours, waiting)}
    return TableView("table1", "Table 1. Training", "Model", ["ViT-B", "STA48-ViT-B"], ["Training (h)"], entries)


def many(count: int) -> TableView:
    rows = [f"sta:r={number}" for number in range(count)]
    entries = {
        (row, "clips/s"): Entry(
            row, "clips/s", "clips_per_s", 30 + number % 97 / 10, None, "done", record=f"many-{number}"
        )
        for number, row in enumerate(rows)
    }
    return TableView("many", f"{count} rows", "Reduction", rows, ["clips/s"], entries)


def record(id: str, metric: str, value: float, **changes: Any) -> Record:
    content: dict[str, Any] = {
        "cell": {"model": "vit_demo", "reduction": "sta:r=12", "dataset": "motion", "views": "2x3", "metric": metric},
        "unit": {"gflops": "GFLOPs", "clips_per_s": "clips/s", "train_hours": "h"}.get(metric, "%"),
        "status": "done",
        "profile": "demo",
        "job": "job-done",
        "started": "2026-03-01T10:00:00.000+00:00",
        "ended": "2026-03-01T10:05:00.000+00:00",
        "settings": {
            "precision": "fp32",
            "batch_size": 32,
            "checkpoint": {"path": "/weights/demo.bin", "sha256": "0f" * 32},
            "dataset": {"labels": "/data/val.txt", "labels_sha256": "ab" * 32, "root": "/data", "sampling": "kinetics"},
            "method": "20636405668b",
        },
        "provenance": provenance(),
    }
    return Record(id=id, value=value, **(content | changes))


def timing(id: str, reduction: str, number: int) -> Record:
    """A throughput with 30 raw samples, as a real one has."""
    rates = [30 + math.sin(number * 31 + sample) for sample in range(30)]
    cell = {"model": "vit_demo", "reduction": reduction, "dataset": "", "views": "", "metric": "clips_per_s"}
    samples = {"clips_per_s": rates, "median": sorted(rates)[15], "iqr": 0.5, "peak_memory": None, "input": "random"}
    when = {
        "started": f"2026-03-01T10:{number % 60:02}:00.000+00:00",
        "ended": f"2026-03-01T11:{number % 60:02}:00.000+00:00",
    }
    here = provenance() | {"tasks": [{"host": "node1", "node": "node1", "started": when["started"], "slurm": {}}]}
    return record(id, "clips_per_s", rates[0], cell=cell, samples=samples, job=f"job-{number}", provenance=here, **when)


def accuracy_records() -> list[Record]:
    found = []
    for row in range(len(GRIDS)):
        for column in range(len(COLUMNS)):
            samples = {"correct": 61 - column, "per_video": "jobs/job-done/videos.csv", "seconds": 12.5 + row}
            counts = {"evaluated": 62, "listed": 64}
            value = 95.3125 - 1.5625 * column + 0.4 * row
            skipped = [{"video": HOSTILE, "reason": "truncated"}, {"video": "bad/2.mp4", "reason": "no frames"}]
            found.append(record(f"top1-{row}-{column}", "top1", value, samples=samples, counts=counts, skipped=skipped))
    return found


def mixed_records() -> list[Record]:
    counts = {"evaluated": 62, "listed": 64}
    return [
        record("gflops-2", "gflops", 302.84, samples={"multiply_adds": 302840000000}),
        record("gflops-3", "gflops", 308.0, samples={"multiply_adds": 308000000000}),
        record("top1-part", "top1", 84.375, counts=counts, status="partial", notes=[f"odd: {HOSTILE}"]),
        record("top1-projected", "top1", 96.0, status="projected"),
        replace(timing("clips-2", "sta:r=12", 5), flags=["IQR is 14 %", "the clock was slow"]),
    ]


def training_records() -> list[Record]:
    segments = [{"started": "2026-03-01T10:00:00", "queue_s": 1.5, "steps": 40, "failed": None}]
    return [record("hours", "train_hours", 0.0572, samples={"hours": 0.0572, "segments": segments})]


def figure_record() -> Record:
    return record(
        "figure", "tokens_kept", 22.5, samples={"figures": [{"video": HOSTILE, "folder": "jobs/j/figures/a"}]}
    )


def provenance() -> dict[str, Any]:
    machine = {"host": "node1", "cpu": "AMD EPYC", "cores": 2, "memory": 2**34, "gpu": None, "gpus": 0, "threads": 2}
    return {
        "machine": machine,
        "versions": {"torch": "2.14.1", "timm": "1.0.31", "numpy": "2.4.6", "fvcore": "0.1.5"},
        "git": {"commit": "abcdef0123456789", "dirty": True},
        "slurm": {"job_id": "17", "job_partition": "gpu"},
        "command": "python -m submitit.core._submit runs/logs/a",
        "python": "3.11.7",
    }


def jobs() -> dict[str, Job]:
    log = Log("logs/one/7_0_log.err", 0, f"Traceback (most recent call last):\n  …\nMemoryError: {HOSTILE}")
    found = [
        Job("job-done", "evaluate", "done", logs=(Log("logs/zero/process.log", 0, "64 of 64 videos"),)),
        Job("job-failed", "measure", "failed", "out of memory", restarts=2, logs=(log,), more_logs=3),
        Job("job-cancelled", "measure", "cancelled", restarts=1),
        Job("job-running", "evaluate", "running", "24 of 64 videos", nodes=("node1", "node2")),
    ]
    return {job.id: job for job in found}


def plots() -> list[Plot]:
    ours = tuple(
        Point(180.0 - 20 * r, 95 - r, f"r = {16 * r}", y_low=94 - r, y_high=96 - r, record=f"top1-0-{r}")
        for r in range(4)
    )
    papers = tuple(Point(175.0 - 20 * place, 84 - place / 4, f"r = {16 * place}", published=True) for place in range(4))
    series = (Series("measured", ours, line=True), Series(f"paper {HOSTILE}", papers, line=True))
    named = Point(100.0, 3.0, HOSTILE, record="gflops-2"), Point(120.0, 2.0, "other")
    return [
        Plot("tradeoff", "Accuracy against GFLOPs", "GFLOPs", "top-1 (%)", series, ("bars: 95 % interval",)),
        Plot("speed", f"Speed {HOSTILE}", "GFLOPs", "clips/s", (Series("all", named, line=False),)),
    ]


def figures() -> list[Figure]:
    files = ("tokens.png", "tokens.pdf", "heat.png", "heat.pdf", "clip.gif", "kept.npz", "page.json")
    stages = ((1, 328), (5, 256), (11, 64))
    common = {"record": "figure", "files": files, "stages": stages}
    said = "taken for class 3 (91.2 %), labelled 3"
    return [
        Figure(video=HOSTILE, folder="jobs/j/figures/a", said=said, content=figure_content(HOSTILE), **common),
        Figure(video="left.mp4", folder="jobs/j/figures/b", missing="the page had no room for it", **common),
    ]


def figure_content(video: str, slots: int = 8, side: int = 7) -> dict[str, Any]:
    """What jobs write as page.json: three stages that each drop what the one before left, from the last patch on, where
    the scores are highest; the last slot has no scores."""
    count = side * side
    stages: list[dict[str, Any]] = []
    before = count
    for block, left in ((1, 41), (5, 32), (11, 8)):
        kept = ["1" * left + "0" * (count - left)] * slots
        importance = [37 * place % 100 if place < before else None for place in range(count)]
        score = [99 * place // (before - 1) if place < before else None for place in range(count)]
        maps = {"importance": [importance] * slots, "score": [score] * (slots - 1) + [[None] * count]}
        stages.append({"block": block, "kept": kept, "maps": maps})
        before = left
    frames = [{"frame": 5 + 10 * slot, "jpeg": jpeg(slot)} for slot in range(slots)]
    names = {"video": video, "model": "vit_demo", "reduction": "sta:r=12"}
    return names | {"rows": side, "columns": side, "slots": frames, "stages": stages}


@cache
def jpeg(slot: int) -> str:
    """A small frame in colours of its own, without any white."""
    from PIL import Image

    file = io.BytesIO()
    Image.radial_gradient("L").resize((224, 224)).point(lambda value: value * 3 // 4).convert("RGB").rotate(
        10 * slot, fillcolor=(20 * slot, 60, 90)
    ).save(file, "JPEG", quality=70)
    return base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render_page(make_page(int(sys.argv[2]) if len(sys.argv) > 2 else 0)), encoding="utf-8")
