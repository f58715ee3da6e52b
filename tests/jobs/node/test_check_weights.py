"""Weights are looked at before anything is queued: as fine-tuned ones, and as what a training begins with."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from jobs.node.check_weights import Check, check_of, problem
from models import create_model
from tests.jobs.small_set import CLASSES, make_job, make_set, make_weights

NEW = ("fc_norm", "head")


def test_what_is_wrong_is_said_of_each(tmp_path: Path) -> None:
    right = make_weights(tmp_path / "right.safetensors")
    (page := tmp_path / "page.pth").write_text("<html>404</html>")
    checks = [
        Check(str(right), "vit_demo", CLASSES, 4),
        Check(str(page), "vit_demo", CLASSES, 4),
        Check(str(right), "vit_demo", 400, 4),
        Check(str(right), "vit_base", CLASSES, 4),
        Check(str(page), "vit_demo", CLASSES, start=True, new=NEW),
    ]
    asked = json.dumps([asdict(check) for check in checks])
    command = [sys.executable, "-m", "jobs.node.check_weights"]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said[0] == ""
    assert said[1] == said[4] == f"{page} is a web page, not a checkpoint; download the file itself"
    assert "of the wrong shape: head.weight (16, 40) instead of (400, 40)" in said[2]
    assert "vit_demo" not in said[3]
    assert "does not fit the model" in said[3]


def test_a_plugin_that_prints_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text('print("hello")\n')
    right = make_weights(tmp_path / "right.safetensors")
    asked = json.dumps([asdict(Check(str(right), "vit_demo", CLASSES, 4))])
    command = [sys.executable, "-m", "jobs.node.check_weights", str(tmp_path / "loud.py")]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [""]


def test_what_a_training_begins_with(tmp_path: Path) -> None:
    state = create_model("vit_demo", num_classes=7).state_dict()
    state = {f"encoder.{name}": tensor for name, tensor in state.items() if not name.startswith(NEW)}
    torch.save({"model": state | {"decoder.head.weight": torch.zeros(2)}}, path := tmp_path / "pretrain.pth")
    begin = Check(str(path), "vit_demo", CLASSES, start=True, new=NEW, unused=("decoder",))
    assert problem(begin) == ""
    assert "is a pre-training checkpoint" in problem(Check(str(path), "vit_demo", CLASSES))
    without = Check(str(path), "vit_demo", CLASSES, start=True, new=NEW)
    assert "extra: decoder.head.weight; list in train.new what starts untrained" in problem(without)


def test_of_an_evaluation_the_stride_counts_where_clips_are_dense(tmp_path: Path) -> None:
    labels, weights = make_set(tmp_path, videos=1, frames=20), make_weights(tmp_path / "w.safetensors")
    found = check_of(make_job(labels, weights, ()))
    assert found == Check(str(weights), "vit_demo", CLASSES, 4)
