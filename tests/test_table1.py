"""Table 1 as a user fills it: trainings as gangs of processes on this machine, and a sweep that is killed in one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from results.files import read_json
from results.progress import read_progress
from tests.jobs.small_set import make_profile, make_set, make_weights

TRAIN = """
[train]
precision = "fp32"
tasks_per_node = 2
batch = 4
micro_batch = 2
epochs = 3
warmup_epochs = 0.5
mixup = 0.0
cutmix = 0.0
short_side = 64
[pretrained]
"vit_demo/set" = "scratch"
"""


def run(command: str, *options: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", f"harness.{command}", "table1", *options]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=280, **settings)


def prepare(folder: Path, videos: int, frames: int) -> list[str]:
    """Videos, and a profile that trains the demo model on them in place of ViT-B; the options that name it."""
    labels = make_set(folder / "data", videos, frames)
    profile = make_profile(folder / "profile.toml", labels, make_weights(folder / "demo.safetensors"))
    text = profile.read_text().replace('vit_large = "vit_demo"', 'vit_base = "vit_demo"')
    profile.write_text(text.replace("root =", f'train_labels = "{labels}"\nroot =') + TRAIN)
    return ["--profile", str(profile), "--runs", str(folder / "runs")]


def test_a_sweep_killed_in_a_training_fills_every_cell_when_told_again(tmp_path: Path) -> None:
    options, runs = prepare(tmp_path, videos=8, frames=40), tmp_path / "runs"
    with subprocess.Popen([sys.executable, "-m", "harness.sweep", "table1", *options]) as driver:
        until = time.monotonic() + 200
        while not any(len(file.read_text().splitlines()) > 2 for file in runs.glob("jobs/*/steps.csv")):
            assert driver.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        while not any("loss" in job.text for job in read_progress(runs)):  # its word of a step comes after the step
            assert time.monotonic() < until
            time.sleep(0.02)
        driver.kill()
    (training,) = [job for job in read_progress(runs) if job.state == "running" and job.job["kind"] == "train"]
    assert "loss" in training.text
    os.kill(training.tasks[1].pid, signal.SIGKILL)

    done = run("sweep", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 of 12 cells have a record" in done.stdout
    report = run("report", *options)
    assert "a training step is" in report.stdout
    assert "× fewer FLOPs" in report.stdout
    cells = json.loads(run("report", *options, "--json").stdout)
    assert len(cells) == 12
    assert {cell["status"] for cell in cells} == {"done", "projected"}
    assert {cell["column"] for cell in cells if cell["status"] == "projected"} == {"Projected (h)"}
    for cell in cells:
        record = read_json(runs / "records" / f"{cell['record']}.json")
        if cell["metric"] == "train_hours":
            assert record["samples"]["processes"] == len(record["samples"]["peak_memory"]) == 2
            assert sum(one["steps"] for one in record["samples"]["segments"]) == 6


@pytest.mark.parametrize("key", ["train.epoch=3", "train.batch=6", "pretrained.vit_demo/set=nowhere.pth"])
def test_what_is_wrong_with_a_recipe_is_said_before_anything_starts(key: str, tmp_path: Path) -> None:
    done = run("sweep", *prepare(tmp_path, videos=4, frames=8), "--set", key)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert key.partition("=")[2] in done.stderr or key.partition("=")[0] in done.stderr
    assert not (tmp_path / "runs" / "jobs").exists()
