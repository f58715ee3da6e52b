import argparse
import json
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from jobs.spec.sources import Checkpoint
from models import load_checkpoint
from models.checkpoints import check_checkpoint
from models.weights_files import weights_files
from tests.models import golden
from tests.models.tiny import TINY, hugging_face_config, refusal


@pytest.fixture
def state(model):
    return golden.weights("vit_tiny")


def refused(model, path):
    message = refusal(model, lambda: load_checkpoint(model, path))
    assert str(path) in message
    return message


def loaded(model, path, state):
    load_checkpoint(model, path)
    return all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("wrap", ["module", "model", None])
@pytest.mark.parametrize("zipped", [True, False])
def test_videomae_files(tmp_path, model, state, wrap, zipped):
    content = {wrap: state, "epoch": 9, "args": argparse.Namespace(lr=1e-3)} if wrap else state
    torch.save(content, tmp_path / "k400.pth", _use_new_zipfile_serialization=zipped)
    parameters = [id(p) for p in model.parameters()]
    assert loaded(model, tmp_path / "k400.pth", state)
    assert parameters == [id(p) for p in model.parameters()]


def test_safetensors_by_a_path_in_text(tmp_path, model, state):
    save_file(state, tmp_path / "tiny.safetensors")
    assert loaded(model, str(tmp_path / "tiny.safetensors"), state)


@pytest.mark.parametrize("name", ["model.safetensors?download=true", "weights.st", "weights", "weights.pth"])
def test_the_content_decides_how_a_file_is_read_not_its_name(tmp_path, model, state, name):
    save_file(state, tmp_path / name)
    assert loaded(model, tmp_path / name, state)
    torch.save(state, tmp_path / "named.safetensors")
    assert loaded(model, tmp_path / "named.safetensors", state)


def test_half_precision_is_stored_but_not_taken_on(tmp_path, model, state):
    half = {name: tensor.half() for name, tensor in state.items()}
    torch.save({"module": half}, tmp_path / "half.pth")
    assert loaded(model, tmp_path / "half.pth", {name: tensor.float() for name, tensor in half.items()})
    assert model.head.weight.dtype == torch.float32


def test_names_and_shapes_that_do_not_fit_are_listed(tmp_path, model, state):
    del state["fc_norm.weight"]
    state["pos_embed"] = torch.zeros(1, 8, 32)
    state["head.weight"] = torch.zeros(174, 32)
    torch.save(state, tmp_path / "ssv2.pth")
    message = refused(model, tmp_path / "ssv2.pth")
    assert "missing: fc_norm.weight; extra: pos_embed; " in message
    assert "of the wrong shape: head.weight (174, 32) instead of (5, 32)" in message


def test_long_lists_are_cut_short(tmp_path, model, state):
    torch.save({name: t for name, t in state.items() if not name.startswith("blocks.1")}, tmp_path / "short.pth")
    message = refused(model, tmp_path / "short.pth")
    assert message.count("blocks.1.") == 4
    assert message.endswith(" and 9 more")


def test_pre_training_files_are_called_that(tmp_path, model, state):
    body = {f"encoder.{name}": tensor for name, tensor in state.items() if not name.startswith(("fc_norm", "head"))}
    torch.save({"model": body}, tmp_path / "pretrain.pth")
    message = refused(model, tmp_path / "pretrain.pth")
    assert "is a pre-training checkpoint" in message
    assert "a training can start from it" in message


def test_objects_are_never_unpickled(tmp_path, model, state):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"model": state, "extra": Trap()}, tmp_path / "trap.pth")
    torch.save({"model": state, "extra": Trap()}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.pth").write_bytes(pickle.dumps({"model": Trap()}, protocol=2))
    torch.save({"model_ema": state, "model": {"head.bias": Trap()}}, tmp_path / "part.pth")
    torch.save({"model": state, "best": np.array([Trap()], dtype=object)}, tmp_path / "array.pth")
    for name in ("trap.pth", "old.pth", "bare.pth", "array.pth"):
        assert "mkdir), and loading that could run code" in refused(model, tmp_path / name)
    assert "mkdir), and loading" in refusal(model, lambda: load_checkpoint(model, tmp_path / "part.pth#model_ema"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_plain_data_may_stand_beside_the_weights(tmp_path, model, state, zipped):
    """Numbers and arrays of NumPy's among them, also under the names of its first version."""
    beside = {"epoch": 3, "best": np.float64(81.2), "done": np.bool_(True), "history": np.arange(3.0), "when": None}
    torch.save({"model": state, **beside}, tmp_path / "new.pth", _use_new_zipfile_serialization=zipped)
    assert loaded(model, tmp_path / "new.pth", state)
    if not zipped:
        data = (tmp_path / "new.pth").read_bytes()
        (tmp_path / "old.pth").write_bytes(data.replace(b"numpy._core", b"numpy.core"))
        assert loaded(model, tmp_path / "old.pth", state)


def test_a_pickle_in_a_hugging_face_folder_runs_nothing_either(folder, model):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(path / "sprung"),)

    path, _, _ = folder
    (path / "model.safetensors").unlink()
    torch.save({"classifier.bias": Trap()}, path / "pytorch_model.bin")
    assert "mkdir), and loading that could run code" in refused(model, path)
    index = {"weight_map": {"classifier.bias": "pytorch_model-00001-of-00001.bin"}}
    (path / "pytorch_model.bin").rename(path / "pytorch_model-00001-of-00001.bin")
    (path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert "mkdir), and loading that could run code" in refused(model, path)
    assert not (path / "sprung").exists()


def test_files_that_hold_no_weights(tmp_path, model, state):
    torch.save(state, tmp_path / "whole.pth")
    save_file(state, tmp_path / "whole.safetensors")
    whole, tensors = (tmp_path / "whole.pth").read_bytes(), (tmp_path / "whole.safetensors").read_bytes()
    contents = {
        "empty.pth": (b"", "is empty"),
        "empty.safetensors": (b"", "is empty"),
        "pointer.safetensors": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        "page.pth": (
            b"<!DOCTYPE html><html>not found</html>",
            "is a web page, not a checkpoint; download the file itself",
        ),
        "page.safetensors": (b"\n <html>sign in</html>", "is a web page, not a checkpoint; download the file itself"),
        "text.pth": (b"hello, this is text", "is damaged or not a checkpoint"),
        "text.safetensors": (b"hello, this is text", "is damaged or not a checkpoint"),
        "cut.pth": (whole[: len(whole) // 2], "is damaged or not a checkpoint"),
        "cut.safetensors": (tensors[:-9], "is damaged or not a checkpoint"),
        "flipped.pth": (whole[:100] + bytes(200) + whole[300:], "is damaged or not a checkpoint"),
    }
    for name, (content, message) in contents.items():
        (tmp_path / name).write_bytes(content)
        assert message in refused(model, tmp_path / name), name
    for name, value in {"list": [1, 2], "epoch": {"epoch": 3}, "nothing": {}, "none": {"model": {}}}.items():
        torch.save(value, tmp_path / f"{name}.pth")
        assert "holds no state dict" in refused(model, tmp_path / f"{name}.pth"), name
    assert "there is no checkpoint at" in refused(model, tmp_path / "nowhere.pth")


@pytest.fixture
def folder(tmp_path, model, monkeypatch):
    """A Hugging Face folder of the tiny model with random weights, and what transformers makes of two clips."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.VideoMAEForVideoClassification(hugging_face_config(transformers)).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.2)
    theirs.save_pretrained(tmp_path / "videomae")
    clips = torch.randn(2, 3, TINY.frames, TINY.image, TINY.image)
    with torch.no_grad():
        return tmp_path / "videomae", clips, theirs(clips.transpose(1, 2)).logits


@torch.no_grad()
def test_hugging_face_folders_give_transformers_logits(folder, model):
    path, clips, expected = folder
    load_checkpoint(model, path)
    torch.testing.assert_close(model(clips), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_hugging_face_folders_with_a_pickle(folder, model):
    from safetensors.torch import load_file

    path, clips, expected = folder
    torch.save(load_file(path / "model.safetensors"), path / "pytorch_model.bin")
    (path / "model.safetensors").unlink()
    load_checkpoint(model, path)
    torch.testing.assert_close(model(clips), expected, rtol=1e-4, atol=1e-4)
    (path / "pytorch_model.bin").unlink()
    assert "holds neither model.safetensors nor pytorch_model.bin" in refused(model, path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_attention_heads", 16, "num_attention_heads 16 instead of 2"),
        ("hidden_size", 384, "hidden_size 384 instead of 32"),
        ("num_frames", None, "num_frames None instead of 4"),
        ("hidden_act", "relu", "hidden_act relu instead of gelu"),
    ],
)
def test_hugging_face_settings_that_shapes_do_not_tell(folder, model, key, value, message):
    path = folder[0]
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {key: value}))
    assert message in refused(model, path)


def test_folders_that_are_not_hugging_faces(tmp_path, folder, model):
    (tmp_path / "other").mkdir()
    assert "it has no config.json" in refused(model, tmp_path / "other")
    for content, message in (("{", "is not valid JSON"), ("[]", "hidden_size None instead of 32")):
        (folder[0] / "config.json").write_text(content)
        assert message in refused(model, folder[0])


def test_hugging_face_names_that_are_missing(folder, model):
    from safetensors.torch import load_file

    path = folder[0]
    weights = load_file(path / "model.safetensors")
    del weights["videomae.encoder.layer.0.attention.attention.key.weight"]
    save_file(weights, path / "model.safetensors")
    message = refused(model, path)
    assert "missing: blocks.0.attn.qkv.weight" in message
    assert "extra: blocks.0.attn.query.weight, blocks.0.attn.value.weight" in message


AGREEING = {"num_frames": 4, "input_size": 16, "tubelet_size": 2, "sampling_rate": 3}


@pytest.mark.parametrize("form", [lambda args: argparse.Namespace(**args), dict], ids=["namespace", "dict"])
@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"num_frames": 32}, "num_frames 32 instead of 4"),
        ({"input_size": 320}, "input_size 320 instead of 16"),
        ({"tubelet_size": 1}, "tubelet_size 1 instead of 2"),
        (
            {"sampling_rate": 2},
            "sampling_rate 2 instead of 3; sampling_rate is the dataset's stride in a profile, or its weights_stride",
        ),
        ({"num_frames": 32, "input_size": 320}, "num_frames 32 instead of 4; input_size 320 instead of 16"),
    ],
)
def test_weights_that_were_trained_on_other_clips_by_their_own_word(tmp_path, model, state, form, other, said):
    path = tmp_path / "k400.pth"
    torch.save({"module": state, "args": form(AGREEING | other)}, path)
    message = refusal(model, lambda: load_checkpoint(model, path, stride=3))
    assert message == f"{path} was trained on other clips, according to its args: {said}"
    torch.save({"module": state, "args": form(AGREEING)}, path)
    load_checkpoint(model, path, stride=3)


def test_the_stride_of_segments_is_not_compared(tmp_path, model, state):
    torch.save({"module": state, "args": argparse.Namespace(sampling_rate=2)}, tmp_path / "ssv2.pth")
    assert loaded(model, tmp_path / "ssv2.pth", state)


@pytest.mark.parametrize("kind", [torch.int8, torch.int64, torch.bool])
def test_weights_of_whole_numbers_are_refused(tmp_path, model, state, kind):
    torch.save(state | {"head.weight": state["head.weight"].to(kind)}, tmp_path / "whole.pth")
    said = f"of the wrong type: head.weight {str(kind).removeprefix('torch.')}"
    assert refused(model, tmp_path / "whole.pth").endswith(said)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(tmp_path, model, state, value):
    state["blocks.1.mlp.fc1.bias"][3] = value
    save_file(state, tmp_path / "wild.safetensors")
    assert refused(model, tmp_path / "wild.safetensors").endswith("not finite: blocks.1.mlp.fc1.bias")


def test_checking_says_what_loading_would_and_leaves_the_model(tmp_path, model, state):
    save_file(state, tmp_path / "right.safetensors")
    check_checkpoint(model, tmp_path / "right.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "right.safetensors").read_bytes()[:-9])
    assert "cut" in refusal(model, lambda: check_checkpoint(model, tmp_path / "cut.safetensors"))


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "model.backbone.", "encoder."]
)
def test_what_training_puts_before_all_names_is_taken_off(tmp_path, model, state, prefix):
    torch.save({f"{prefix}{name}": tensor for name, tensor in state.items()}, tmp_path / "wrapped.pth")
    assert loaded(model, tmp_path / "wrapped.pth", state)


def test_a_prefix_under_which_a_name_is_missing_stays(tmp_path, model, state):
    del state["head.bias"]
    torch.save({f"model.{name}": tensor for name, tensor in state.items()}, tmp_path / "wrapped.pth")
    assert "missing: patch_embed.proj.weight, " in refused(model, tmp_path / "wrapped.pth")


def test_what_stands_beside_the_prefix_is_named(tmp_path, model, state):
    content = {f"model.{name}": tensor for name, tensor in state.items()} | {"ema.step": torch.zeros(1)}
    torch.save({"model_state_dict": content}, tmp_path / "wrapped.pth")
    assert "does not fit the model; extra: ema.step" in refused(model, tmp_path / "wrapped.pth")


def test_a_state_of_deepspeeds_is_called_that(tmp_path, model):
    for folder in (tmp_path, tmp_path / "global_step9"):
        folder.mkdir(exist_ok=True)
        (folder / "mp_rank_00_model_states.pt").touch()
        assert "a training's state as DeepSpeed keeps it; its script zero_to_fp32.py" in refused(model, folder)


def test_of_several_state_dicts_one_is_asked_for_by_name(tmp_path, model, state):
    average = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"model": state, "model_ema": average, "optimizer": {"state": {}}}, tmp_path / "both.pth")
    assert refused(model, tmp_path / "both.pth") == (
        f"{tmp_path}/both.pth holds weights under model and model_ema; say which: both.pth#model or both.pth#model_ema"
    )
    assert loaded(model, tmp_path / "both.pth#model", state)
    assert loaded(model, tmp_path / "both.pth#model_ema", average)
    said = refusal(model, lambda: load_checkpoint(model, tmp_path / "both.pth#ema"))
    assert said == f"{tmp_path}/both.pth has no state dict called 'ema'; those that it has: model, model_ema"
    digests = {Checkpoint.of(tmp_path / f"both.pth{part}").sha256 for part in ("", "#model", "#model_ema")}
    assert len(digests) == 3
    torch.save({"ema": average, "epoch": 3}, tmp_path / "alone.pth")
    assert loaded(model, tmp_path / "alone.pth", average)


def split(path):
    """Its weights in two files with an index, as large models are published."""
    from safetensors.torch import load_file

    weights = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    names = sorted(weights)
    places = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, path / file)
        places |= dict.fromkeys(part, file)
    (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_hugging_face_folders_in_several_files(folder, model):
    path, clips, expected = folder
    split(path)
    assert [file.name for file in weights_files(path)][:2] == ["config.json", "model.safetensors.index.json"]
    assert len(weights_files(path)) == 4
    load_checkpoint(model, path)
    torch.testing.assert_close(model.eval()(clips), expected, atol=1e-4, rtol=0)
    (path / "model-00002-of-00002.safetensors").unlink()
    assert "there is no checkpoint at" in refused(model, path)


def test_hugging_face_names_of_transformers_5(folder, model):
    from safetensors.torch import load_file

    path, clips, expected = folder
    weights = load_file(path / "model.safetensors")
    attention = "videomae.encoder.layer.{}.attention.attention."
    for block in range(TINY.depth):
        for theirs, ours in (("q_bias", "query.bias"), ("v_bias", "value.bias")):
            if attention.format(block) + theirs in weights:
                weights[attention.format(block) + ours] = weights.pop(attention.format(block) + theirs)
        weights[attention.format(block) + "key.bias"] = torch.zeros(TINY.dim)
    save_file(weights, path / "model.safetensors")
    load_checkpoint(model, path)
    torch.testing.assert_close(model.eval()(clips), expected, atol=1e-4, rtol=0)
    weights[attention.format(1) + "key.bias"][3] = 1.0
    save_file(weights, path / "model.safetensors")
    assert "blocks.1.attn.key.bias is not zero, and VideoMAE's keys have no bias" in refused(model, path)
