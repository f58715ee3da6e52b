"""Mistakes that no other try mends, on the real cluster: said by the task, tried once, and told as they are."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from results.progress import read_progress
from tests.jobs.small_set import make_set, make_weights
from tests.slurm.cluster import Cluster
from tests.slurm.sweeping import PROFILE, ROOT

TABLE = 'model = "vit_demo"\ndataset = "set"\nviews = "1x1"\n[rows]\nreduction = ["none"]\n[columns]\nmetric = ["{}"]\n'
CHANGED = "{} has changed since this job was planned"
CASES = {
    "unreadable videos": ("top1", "", "videos could not be read, evaluate.tolerance = 0.01 allows 0"),
    "weights": ("top1", "demo.safetensors", CHANGED.format("demo.safetensors")),
    "labels": ("top1", "val.txt", CHANGED.format("val.txt")),
    "start of a training": ("train_hours", "demo.safetensors", CHANGED.format("demo.safetensors")),
}
"""By name: what is measured, the file that a web page takes the place of once the tasks start, and the reason."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    make_set(folder / "data", videos=4, frames=40, size=(64, 56))
    make_weights(folder / "demo.safetensors")
    (folder / "page.html").write_text("<!DOCTYPE html><title>404</title>")
    for number in (1, 2):
        (folder / "data" / f"clip {number}.mp4").write_bytes(b"cut")
    for metric in ("top1", "train_hours"):
        (folder / f"{metric}.toml").write_text(TABLE.format(metric))
    return folder


@pytest.mark.parametrize(
    ("case", "tasks"),
    [("unreadable videos", 1), ("unreadable videos", 2), ("weights", 2), ("labels", 1), ("start of a training", 4)],
)
def test_a_mistake_is_made_once_and_told_as_it_is(
    cluster: Cluster, files: Path, tmp_path: Path, case: str, tasks: int
) -> None:
    metric, replaced, reason = CASES[case]
    labels, weights = tmp_path / "val.txt", tmp_path / "demo.safetensors"
    labels.write_bytes((files / "data" / "val.txt").read_bytes())
    weights.write_bytes((files / "demo.safetensors").read_bytes())
    text = PROFILE.format(labels=labels, root=files / "data", weights=weights)
    text = text.replace('"vit_demo/set" = "scratch"', f'"vit_demo/set" = "{weights}"')
    text = text.replace("tasks = 3", f"tasks = {tasks}").replace("tasks_per_node = 1", "tasks_per_node = 2")
    if replaced:
        text = text.replace("mem_gb = 9", f'mem_gb = 4\nsetup = ["cp {files / "page.html"} {tmp_path / replaced}"]')
    (profile := tmp_path / "profile.toml").write_text(text)
    table = str(files / f"{metric}.toml")

    def run(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = cluster.environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "300"}
        whole = [sys.executable, "-m", f"harness.{name}", *arguments, "--runs", str(tmp_path / "runs")]
        return subprocess.run(whole, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240)

    swept = run("sweep", table, "--profile", str(profile))
    assert swept.returncode == 1, swept.stdout + swept.stderr
    assert reason in swept.stderr
    assert "started again" not in swept.stdout
    (job,) = read_progress(tmp_path / "runs")
    assert {entry.attempt for entry in job.entries.values()} == {1}
    assert len(job.tasks) == tasks
    if not replaced:
        # What takes the place of a list or of weights makes another cell of it, which says so by itself.
        cells: list[dict[str, Any]] = json.loads(run("report", table, "--profile", str(profile), "--json").stdout)
        assert [(cell["status"], reason in cell["note"]) for cell in cells] == [("failed", True)]
    assert reason in run("status").stdout
