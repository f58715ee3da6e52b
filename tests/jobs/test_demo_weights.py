import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs import demo_weights as trainer
from jobs.data import demo
from jobs.demo_weights import Recipe, TrainingError, central_top1, save, train, train_demo
from models import create_model, load_checkpoint
from models.vit import sinusoid

TINY = Recipe(short_epochs=1, epochs=1, warmup_epochs=0.5, batch_size=2)


def noise(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (18, 56, 74, 3), dtype=np.uint8) for _ in range(count)]


def test_the_peak_learning_rate_scales_with_the_batch() -> None:
    assert Recipe(base_lr=1e-3, batch_size=128).lr == pytest.approx(5e-4)


def test_weight_decay_spares_biases_and_norms() -> None:
    model = create_model("vit_demo")
    decayed, spared = trainer._parameter_groups(model, 0.05)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    assert {id(weight) for weight in decayed["params"]} == {
        id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Linear | torch.nn.Conv3d)
    }
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))


def test_training_ends_with_a_whole_model_and_repeats_itself() -> None:
    lines: list[str] = []
    model = train(TINY, noise(2), [3, 5], lines.append)
    assert model.arch == create_model("vit_demo").arch
    assert torch.equal(model.positions, create_model("vit_demo").positions)
    assert not model.training
    assert lines[-1].startswith("step 2/2  loss ")
    again = train(TINY, noise(2), [3, 5], lines.append)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_short_clips_take_their_place_among_the_positions_of_a_whole_one() -> None:
    model = create_model("vit_demo")
    trainer._set_clip(model, 4, 5)
    assert torch.equal(model.positions, sinusoid(8 * 49, model.arch.dim)[:, 5 * 49 : 7 * 49])
    assert model(torch.zeros(1, 3, 4, 56, 56)).shape == (1, 16)


def test_the_loss_falls_on_videos_told_apart_by_brightness() -> None:
    dark, light = np.full((18, 56, 74, 3), 40, np.uint8), np.full((18, 56, 74, 3), 210, np.uint8)
    recipe = replace(TINY, short_epochs=20, base_lr=0.4, label_smoothing=0.0)
    model = train(recipe, [dark, light], [0, 1], lambda line: None)
    assert central_top1(model, [dark, light], [0, 1]) == 100
    assert central_top1(model, [dark, light], [0, 2]) == 50


def test_a_loss_that_is_no_number_names_the_step() -> None:
    with pytest.raises(TrainingError, match=r"(inf|nan) at step [12]: lower base_lr \(1e\+30\)"):
        train(replace(TINY, base_lr=1e30, short_epochs=3), noise(2), [0, 1], lambda line: None)


def test_too_few_videos_for_a_batch() -> None:
    with pytest.raises(ValueError, match="1 videos do not fill a batch of 2"):
        train(TINY, noise(1), [0])


def test_weights_are_written_whole_with_their_story_and_load_strictly(tmp_path: Path) -> None:
    model = create_model("vit_demo", num_classes=16)
    save(model, tmp_path / "new" / "w.safetensors", {"seed": 7})
    other = create_model("vit_demo", num_classes=16)
    load_checkpoint(other, tmp_path / "new" / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert json.loads((tmp_path / "new" / "w.json").read_text()) == {"seed": 7}
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["w.json", "w.safetensors"]


def test_from_nothing_to_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SIZES", {"train": 2, "val": 2})
    lines: list[str] = []
    top1 = train_demo(TINY, tmp_path / "data", tmp_path / "w.safetensors", lines.append)
    how = json.loads((tmp_path / "w.json").read_text())
    assert how["val_top1_central_view"] == top1
    assert how["data"] == {"set": demo.VERSION, "train_videos": 2, "val_videos": 2}
    assert how["recipe"]["batch_size"] == 2
    assert how["recipe"]["seed"] == 0
    assert how["training_seconds"] > 0
    assert "host" not in how["machine"]
    assert lines[0].startswith("making 2 of 2 train videos")
    assert str(tmp_path / "w.safetensors") in lines[-1]


def test_the_shipped_weights_fit_the_model_and_name_their_data() -> None:
    load_checkpoint(create_model("vit_demo", num_classes=len(demo.CLASSES)), trainer.WEIGHTS)
    how = json.loads(trainer.WEIGHTS.with_suffix(".json").read_text())
    assert how["data"]["set"] == demo.VERSION
    assert how["classes"] == list(demo.CLASSES)
    assert how["val_top1_central_view"] >= 92
    assert math.isfinite(how["training_seconds"])


def test_help_says_where_the_weights_go() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "jobs.demo_weights", "--help"], capture_output=True, text=True, check=True
    )
    assert "--data" in shown.stdout
    assert "--out" in shown.stdout
