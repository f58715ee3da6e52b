import pytest
import torch
from safetensors.torch import save_file

from models import load_pretrained
from tests.models import golden
from tests.models.tiny import TINY, hugging_face_config, refusal

NEW, UNUSED = ("fc_norm", "head"), ("decoder", "encoder_to_decoder", "mask_token", "norm")


@pytest.fixture
def pretraining(model):
    """The names of VideoMAE's pre-training: the encoder with a last norm, and what predicts the pixels."""
    encoder = {name: t for name, t in golden.weights("vit_tiny").items() if not name.startswith(NEW)}
    return {
        "mask_token": torch.zeros(1, 1, 24),
        **{f"encoder.{name}": tensor for name, tensor in encoder.items()},
        "encoder.norm.weight": torch.ones(32),
        "encoder.norm.bias": torch.zeros(32),
        "encoder_to_decoder.weight": torch.zeros(24, 32),
        "decoder.blocks.0.norm1.weight": torch.ones(24),
        "decoder.head.weight": torch.zeros(384, 24),
    }


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def refused(model, path, new=NEW, unused=UNUSED):
    return refusal(model, lambda: load_pretrained(model, path, new, unused))


@pytest.mark.parametrize("kind", ["model.pth", "module.pth", "plain.safetensors"])
def test_the_encoder_is_taken_and_the_head_stays_new(tmp_path, model, pretraining, kind):
    path, before = tmp_path / kind, snapshot(model)
    if path.suffix == ".pth":
        torch.save({path.stem: pretraining, "epoch": 1599}, path)
    else:
        save_file(pretraining, path)
    load_pretrained(model, path, NEW, UNUSED)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name] if name.startswith(NEW) else pretraining[f"encoder.{name}"]), name


def test_what_is_not_named_is_an_error_that_says_where_to_name_it(tmp_path, model, pretraining):
    del pretraining["encoder.blocks.1.norm2.bias"]
    torch.save({"model": pretraining}, tmp_path / "start.pth")
    message = refused(model, tmp_path / "start.pth", NEW, ("decoder", "mask_token"))
    assert "missing: blocks.1.norm2.bias; " in message
    assert "extra: norm.weight, norm.bias, encoder_to_decoder.weight; list in train.new what" in message
    assert "in train.unused what the model does not use" in message
    assert "missing: blocks.1.norm2.bias, fc_norm.weight, fc_norm.bias, head.weight and 1 more" in refused(
        model, tmp_path / "start.pth", new=()
    )


def test_a_name_covers_whole_parts_only(tmp_path, model, pretraining):
    torch.save(pretraining | {"decoder_pos_embed": torch.zeros(1)}, tmp_path / "start.pth")
    assert "extra: decoder_pos_embed; " in refused(model, tmp_path / "start.pth")
    load_pretrained(model, tmp_path / "start.pth", (*NEW, "blocks.1.mlp"), (*UNUSED, "decoder_pos_embed"))
    assert torch.equal(model.blocks[1].norm2.weight, pretraining["encoder.blocks.1.norm2.weight"])
    assert not torch.equal(model.blocks[1].mlp.fc1.weight, pretraining["encoder.blocks.1.mlp.fc1.weight"])


def test_a_name_that_nothing_has_is_a_mistake_only_where_it_would_leave_weights_random(tmp_path, model, pretraining):
    torch.save(pretraining, tmp_path / "start.pth")
    message = refused(model, tmp_path / "start.pth", ("fc_norm", "heads"))
    assert "is called heads (train.new); its parts are patch_embed, blocks, fc_norm, head" in message
    load_pretrained(model, tmp_path / "start.pth", NEW, (*UNUSED, "teacher"))


def test_a_fine_tuned_file_with_other_classes(tmp_path, model):
    state, before = golden.weights("vit_tiny"), snapshot(model)
    state["head.weight"], state["head.bias"] = torch.zeros(174, 32), torch.zeros(174)
    torch.save({"module": state}, tmp_path / "ssv2.pth")
    message = refused(model, tmp_path / "ssv2.pth", new=())
    assert "of the wrong shape: head.weight (174, 32) instead of (5, 32)" in message
    load_pretrained(model, tmp_path / "ssv2.pth", new=("head",))
    assert torch.equal(model.head.weight, before["head.weight"])
    assert torch.equal(model.fc_norm.weight, state["fc_norm.weight"])


@torch.no_grad()
def test_hugging_faces_pre_training_folders(tmp_path, model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    config = hugging_face_config(
        transformers,
        use_mean_pooling=False,  # as published
        decoder_hidden_size=24,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=48,
    )
    theirs = transformers.VideoMAEForPreTraining(config).eval()
    torch.manual_seed(0)
    for parameter in theirs.parameters():
        parameter.normal_(std=0.2)
    theirs.save_pretrained(tmp_path / "base")
    load_pretrained(model, tmp_path / "base", NEW, UNUSED)
    clips, encoded = torch.randn(2, 3, TINY.frames, TINY.image, TINY.image), []
    model.fc_norm.register_forward_pre_hook(lambda _, inputs: encoded.append(inputs[0]))
    model(clips)
    nothing_masked = torch.zeros(2, TINY.slots * TINY.tokens_per_slot, dtype=torch.bool)
    theirs.videomae.layernorm = None  # the norm before the mean, which fine-tuning drops
    hidden = theirs.videomae(clips.transpose(1, 2), bool_masked_pos=nothing_masked).last_hidden_state
    torch.testing.assert_close(encoded[0], hidden.mean(1), rtol=1e-4, atol=1e-4)
    assert "extra: norm.bias, norm.weight; " in refused(model, tmp_path / "base", unused=UNUSED[:-1])
