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


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    labels = make_set(folder / "data", videos=4, frames=40, size=(64, 56))
    make_weights(folder / "demo.safetensors")
    (folder / "page.html").write_text("<!DOCTYPE html><title>404</title>")
    (folder / "list.txt").write_text(labels.read_text().replace(" 3", " 3 3"))
    for number in (1, 2):
        (folder / "data" / f"clip {number}.mp4").write_bytes(b"cut")
    for metric in ("top1", "train_hours"):
        (folder / f"{metric}.toml").write_text(TABLE.format(metric))
    return folder


CASES = {
    "unreadable videos": ("top1", "", "", r"2 of 4 videos could not be read, evaluate.tolerance = 0.01 allows 0"),
    "weights": ("top1", "page.html", "demo.safetensors", "demo.safetensors has changed since this job was planned"),
    "labels": ("top1", "page.html", "data/val.txt", "val.txt has changed since this job was planned"),
    "start": (
        "train_hours",
        "page.html",
        "demo.safetensors",
        "demo.safetensors has changed since this job was planned",
    ),
}


@pytest.mark.parametrize(
    ("case", "tasks"), [("unreadable videos", 1), ("unreadable videos", 2), ("weights", 2), ("labels", 1), ("start", 4)]
)
def test_a_mistake_is_made_once_and_told_as_it_is(
    cluster: Cluster, files: Path, tmp_path: Path, case: str, tasks: int
) -> None:
    metric, wrong, right, reason = CASES[case]
    # A file of one's own, that the others need as it is.
    own = {name: tmp_path / Path(name).name for name in ("data/val.txt", "demo.safetensors")}
    for name, path in own.items():
        path.write_bytes((files / name).read_bytes())
    text = PROFILE.format(labels=own["data/val.txt"], root=files / "data", weights=own["demo.safetensors"])
    text = text.replace('"vit_demo/set" = "scratch"', f'"vit_demo/set" = "{own["demo.safetensors"]}"')
    text = text.replace("tasks = 3", f"tasks = {tasks}").replace(
        "nodes = 2\ntasks_per_node = 1", "nodes = 2\ntasks_per_node = 2"
    )
    if wrong:
        setup = f"cp {files / wrong} {own[right]}"
        text = text.replace("mem_gb = 9", f'mem_gb = 4\nsetup = ["{setup}"]')
    (profile := tmp_path / "profile.toml").write_text(text)
    command = ["--profile", str(profile), "--runs", str(tmp_path / "runs")]
    table = str(files / f"{metric}.toml")

    def run(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = cluster.environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        whole = [sys.executable, "-m", f"harness.{name}", *arguments, *command]
        return subprocess.run(whole, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240)

    swept = run("sweep", table)
    assert swept.returncode == 1, swept.stdout + swept.stderr
    assert reason in swept.stderr
    assert "started again" not in swept.stdout
    (job,) = read_progress(tmp_path / "runs")
    assert {entry.attempt for entry in job.entries.values()} == {1}
    assert len(job.tasks) == tasks
    cells: list[dict[str, Any]] = json.loads(run("report", table, "--json").stdout)
    assert [(cell["status"], reason in cell["note"]) for cell in cells] == [("failed", True)]
    assert (
        reason in run("status").stdout.replace("\n ", "").replace("  ", " ")
        or reason.split()[0] in run("status").stdout
    )
