"""The demo as shipped: its profile makes the val split alone, and its weights do what the README says."""

import json
import subprocess
import sys
from pathlib import Path

import models
from jobs.data import demo, glimpse
from models import create_model, load_checkpoint

WEIGHTS = Path(models.__file__).parent / "weights" / "vit_demo.safetensors"

TABLE = """
title = "Drop numbers in the demo"
model = "vit_large"
dataset = "k400"
metric = "top1"
views = "2x1"
[[rows]]
label = "top-1"
[columns]
reduction = ["none", "sta:r=96"]
"""


def test_weights_solve_the_val_split_and_lose_at_large_r(tmp_path: Path) -> None:
    (tmp_path / "drops.toml").write_text(TABLE)
    runs = tmp_path / "runs"
    options = [str(tmp_path / "drops.toml"), "--profile", "demo", "--runs", str(runs)]
    sweep = subprocess.run(
        [sys.executable, "-m", "harness.sweep", *options], capture_output=True, text=True, timeout=400
    )
    assert sweep.returncode == 0, sweep.stderr
    assert len(list((runs / "data").rglob("*.mp4"))) == 64
    report = [sys.executable, "-m", "harness.report", *options, "--json"]
    cells = json.loads(subprocess.run(report, capture_output=True, text=True, check=True, timeout=60).stdout)
    top1 = {cell["column"]: cell["value"] for cell in cells}
    assert top1["none"] >= 92
    assert top1["sta:r=96"] < top1["none"] - 2
    assert {cell["status"] for cell in cells} == {"done"}


def test_the_shipped_weights_fit_the_model_and_name_their_data() -> None:
    load_checkpoint(create_model("vit_demo", num_classes=len(demo.CLASSES)), WEIGHTS)
    how = json.loads(WEIGHTS.with_suffix(".json").read_text())
    assert how["data"]["set"] == demo.SET.version
    assert how["classes"] == list(demo.CLASSES)
    assert how["top1_5x3"] >= 92


def test_the_weights_of_the_video_swin_fit_it_and_name_their_data() -> None:
    weights = WEIGHTS.with_name("swin_demo.safetensors")
    load_checkpoint(create_model("swin_demo", num_classes=len(demo.CLASSES)), weights)
    how = json.loads(weights.with_suffix(".json").read_text())
    assert how["data"]["set"] == demo.SET.version
    assert how["classes"] == list(demo.CLASSES)
    assert how["top1_4x3"] == 100 * 62 / 64


def test_the_weights_for_glimpse_fit_the_model_and_name_their_data() -> None:
    weights = WEIGHTS.with_name("vit_glimpse.safetensors")
    load_checkpoint(create_model("vit_demo", num_classes=len(glimpse.CLASSES)), weights)
    how = json.loads(weights.with_suffix(".json").read_text())
    assert how["data"]["set"] == glimpse.SET.version
    assert how["classes"] == list(glimpse.CLASSES)
    assert how["top1_5x3"] == 100 * 403 / 512
