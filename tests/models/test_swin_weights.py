"""Weights of Video Swins as they are published: torchvision's files and the original code's."""

import os
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models.video.swin_transformer import SwinTransformer3d

from models import create_model, load_checkpoint, load_pretrained
from models.catalog import ARCHITECTURES, VideoSwin
from models.video_model import VideoModel
from tests.models import swin
from tests.models.tiny import refusal

SMALL = VideoSwin.of(8, (1, 2), (1, 2), image=16, frames=4, window=(2, 3, 3), num_classes=5)


@pytest.fixture(autouse=True)
def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "swin_small", SMALL)
    wide = VideoSwin.of(8, (1, 2), (1, 2), image=16, frames=4, window=(4, 3, 3), num_classes=5)
    monkeypatch.setitem(ARCHITECTURES, "swin_small_w4", wide)


@pytest.fixture
def model() -> VideoModel:
    return create_model("swin_small")


def torchvisions(window: tuple[int, int, int] = (2, 3, 3), classes: int = 5) -> dict[str, Tensor]:
    """All that torchvision's own model stores, buffers included."""
    torch.manual_seed(3)
    network = SwinTransformer3d([2, 4, 4], 8, [1, 2], [1, 2], list(window), num_classes=classes)
    return dict(network.state_dict())


def originals(state: dict[str, Tensor]) -> "OrderedDict[str, Tensor]":
    """The same under the names of the original code, worked out from its side: levels, blocks, downsample."""
    found = OrderedDict()
    for name, tensor in state.items():
        if parts := re.fullmatch(r"features\.([02])\.(\d)\.(.*)", name):
            rest = {"mlp.0": "mlp.fc1", "mlp.3": "mlp.fc2"}.get(parts[3].rpartition(".")[0])
            tail = f"{rest}.{parts[3].rpartition('.')[2]}" if rest else parts[3]
            found[f"backbone.layers.{int(parts[1]) // 2}.blocks.{parts[2]}.{tail}"] = tensor
        elif name.startswith("features.1."):
            found[f"backbone.layers.0.downsample.{name.removeprefix('features.1.')}"] = tensor
        elif name.startswith("head."):
            found[f"cls_head.fc_cls.{name.removeprefix('head.')}"] = tensor
        else:
            found[f"backbone.{name}"] = tensor
    return found


def same(model: VideoModel, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


META = {"epoch": 30, "iter": 1, "config": "model = dict()", "CLASSES": ("a", "b"), "time": "now", "env_info": None}


@pytest.mark.parametrize(
    "content",
    [
        torchvisions(),
        {"model": torchvisions()},
        {"state_dict": originals(torchvisions())},
        {
            "meta": META,
            "state_dict": originals(torchvisions()),
            "optimizer": {"state": {}, "param_groups": [{"lr": 1}]},
        },
    ],
    ids=["torchvision", "torchvision, in a training's file", "original without meta", "original with meta"],
)
def test_all_published_forms_load(content: Any, model: VideoModel, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    load_checkpoint(model, tmp_path / "weights.pth", stride=2)
    assert same(model, torchvisions())


def test_safetensors_with_torchvisions_names_load(model: VideoModel, tmp_path: Path) -> None:
    save_file(torchvisions(), tmp_path / "weights.safetensors")
    load_checkpoint(model, tmp_path / "weights.safetensors")
    assert same(model, torchvisions())


class Runs:
    """Unpickled by a loader that executes what it finds, it makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)

    def __init__(self, path: str) -> None:
        self.path = path


def test_an_object_in_meta_is_refused_and_not_run(model: VideoModel, tmp_path: Path) -> None:
    meta = META | {"hook": Runs(str(tmp_path / "made"))}
    torch.save({"meta": meta, "state_dict": originals(torchvisions())}, tmp_path / "weights.pth")
    assert refusal(model, lambda: load_checkpoint(model, tmp_path / "weights.pth")) == (
        f"{tmp_path}/weights.pth holds an object (posix.mkdir), and loading that could run code; "
        "save the state dict alone"
    )
    assert not (tmp_path / "made").exists()


FAULTS = [
    (
        torchvisions((4, 3, 3)),
        "has tables of 175 relative positions, those of windows of 4 × 3 × 3; the model has windows of 2 × 3 × 3, 75 "
        "positions; the model for these weights is swin_small_w4",
    ),
    (
        originals(torchvisions((2, 2, 2))),
        "has tables of 27 relative positions; the model has windows of 2 × 3 × 3, 75 positions",
    ),
    (
        {name: tensor for name, tensor in torchvisions().items() if name != "features.1.reduction.weight"},
        "does not fit the model; missing: features.1.reduction.weight",
    ),
    (
        {name: tensor for name, tensor in originals(torchvisions()).items() if "head" not in name},
        "does not fit the model; missing: head.weight, head.bias",
    ),
    (
        torchvisions(classes=7),
        "does not fit the model; of the wrong shape: head.weight (7, 16) instead of (5, 16), "
        "head.bias (7,) instead of (5,)",
    ),
    (
        torchvisions() | {"features.9.norm.bias": torch.ones(3)},
        "does not fit the model; extra: features.9.norm.bias",
    ),
    (
        torchvisions() | {"features.0.0.attn.relative_position_index": torch.zeros(18, 18, dtype=torch.long)},
        "numbers the positions of its windows in another way (features.0.0.attn.relative_position_index)",
    ),
    (
        torchvisions() | {"norm.weight": torch.full((16,), torch.nan)},
        "does not fit the model; with values that are not finite: norm.weight",
    ),
]


@pytest.mark.parametrize(("state", "problem"), FAULTS)
def test_what_does_not_fit_is_said_in_a_line(
    state: dict[str, Tensor], problem: str, model: VideoModel, tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "weights.pth")
    said = refusal(model, lambda: load_checkpoint(model, tmp_path / "weights.pth"))
    assert said == f"{tmp_path}/weights.pth {problem}"


def test_a_folder_is_no_form_of_these_weights(model: VideoModel, tmp_path: Path) -> None:
    said = refusal(model, lambda: load_checkpoint(model, tmp_path))
    assert said == f"{tmp_path} is a folder; give the file of the weights, torchvision's or the original code's"


def test_a_training_starts_from_them_with_another_head(tmp_path: Path) -> None:
    torch.save({"state_dict": originals(torchvisions(classes=7))}, tmp_path / "weights.pth")
    model = create_model("swin_small", num_classes=3)
    before = model.head.weight.clone()
    load_pretrained(model, tmp_path / "weights.pth", new=SMALL.new)
    state = torchvisions(classes=7)
    assert torch.equal(model.head.weight, before)
    assert torch.equal(model.norm.weight, state["norm.weight"])
    assert torch.equal(model.state_dict()["features.2.1.mlp.3.weight"], state["features.2.1.mlp.3.weight"])


@pytest.mark.parametrize(
    ("name", "classes", "other"), [("swin3d_t", 400, "swin3d_t_w16"), ("swin3d_b_w16", 174, "swin3d_b")]
)
def test_whole_files_of_the_originals_names(name: str, classes: int, other: str, tmp_path: Path) -> None:
    """Every parameter of a real size finds its place; the other window is told."""
    arch = ARCHITECTURES[name]
    assert isinstance(arch, VideoSwin)
    state = swin.weights(arch, classes)
    stored = OrderedDict()
    for key, tensor in state.items():
        parts = key.split(".")
        if parts[0] == "features" and int(parts[1]) % 2:
            parts[:2] = ["layers", str(int(parts[1]) // 2), "downsample"]
        elif parts[0] == "features":
            parts[:2] = ["layers", str(int(parts[1]) // 2), "blocks"]
            parts = [{"0": "fc1", "3": "fc2"}.get(part, part) if "mlp" in parts[:-1] and k > 3 else part
                     for k, part in enumerate(parts)]  # fmt: skip
        stored["cls_head.fc_cls." + parts[-1] if parts[0] == "head" else "backbone." + ".".join(parts)] = tensor
    torch.save({"state_dict": stored}, tmp_path / "weights.pth")
    model = create_model(name, num_classes=classes)
    load_checkpoint(model, tmp_path / "weights.pth")
    assert same(model, state)
    with torch.device("meta"):
        wrong = create_model(other, num_classes=classes)
    with pytest.raises(ValueError, match=f"the model for these weights is {name}$"):
        load_checkpoint(wrong, tmp_path / "weights.pth")
