from dataclasses import replace

import numpy as np
import pytest
import torch

from models import create_model
from models.catalog import ARCHITECTURES, ViT
from models.reduction.sta import STA
from models.vit import sinusoid
from tests.models import golden


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "vit_tiny", ViT.of(32, 3, 2, image=32, patch=8, num_classes=5))
    model = create_model("vit_tiny")
    model.load_state_dict(golden.weights("vit_tiny"))
    return model.eval()


@torch.no_grad()
def test_logits_are_those_of_the_published_code():
    clips = golden.clips(2)
    model = create_model("vit_small")
    model.load_state_dict(golden.weights("vit_small"))
    expected = np.load(golden.EXPECTED)
    assert sorted(expected) == ["vit_small|0", "vit_small|48"]
    for key, logits in expected.items():
        model.set_reduction(f"sta:r={key.partition('|')[2]}")
        error = np.linalg.norm(model(clips).numpy() - logits) / np.linalg.norm(logits)
        assert error < 1e-4, key


@torch.no_grad()
def test_a_clip_does_not_depend_on_its_neighbours(demo):
    clips = golden.clips(3, side=56)
    for reduction in ("none", "sta:r=12", "sta:r=24", "random:r=12"):
        demo.set_reduction(reduction)
        together, alone = demo(clips), torch.cat([demo(clip[None]) for clip in clips])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_dropping_nothing_is_the_plain_model(demo):
    clips = golden.clips(1, side=56)
    plain = demo(clips)
    for reduction in ("sta:r=0", "random:r=0"):
        demo.set_reduction(reduction)
        torch.testing.assert_close(demo(clips), plain, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("reduction", "tokens"),
    [
        ("none", [392] * 12),
        # 8 slots of 49, 4 of 74, 2 of 124; each stage drops 12 from every slot.
        ("sta:r=12", [392] + [296] * 4 + [248] * 4 + [224] * 3),
        ("random:r=12", [392] + [296] * 4 + [248] * 4 + [224] * 3),
        ("sta:r=10,at=2-4-5-6-12", [392] * 2 + [312] * 2 + [272] + [252] + [242] * 6),
    ],
)
def test_every_block_sees_the_tokens_that_are_left(demo, reduction, tokens):
    seen = []
    for block in demo.blocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    demo.set_reduction(reduction)
    demo(golden.clips(1, side=56))
    assert seen == tokens


@torch.no_grad()
def test_the_reduction_is_switched_without_touching_the_weights(demo):
    clips, before = golden.clips(1, side=56), [id(p) for p in demo.parameters()]
    plain = demo(clips)
    demo.set_reduction("sta:r=20")
    reduced = demo(clips)
    demo.set_reduction("none")
    assert not torch.equal(plain, reduced)
    assert torch.equal(plain, demo(clips))
    assert before == [id(p) for p in demo.parameters()]


def test_a_reduction_that_does_not_fit_leaves_the_model_as_it_was(demo):
    demo.set_reduction("sta:r=12")
    with pytest.raises(ValueError, match="r is at most half of a slot's 49 tokens after block 1, 24"):
        demo.set_reduction("sta:r=48")
    assert demo.reduction == STA(r=12)


def test_gradients_reach_every_weight(demo):
    demo.set_reduction("sta:r=12")
    demo(golden.clips(1, side=56)).square().sum().backward()
    for name, parameter in demo.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@torch.no_grad()
def test_mixed_precision_does_not_reach_the_choice_of_tokens(tiny, monkeypatch):
    seen = []
    keep = STA.keep

    def spy(self, tokens, keys, stage):
        seen.append((tokens.dtype, keys.dtype, torch.is_autocast_enabled("cpu")))
        return keep(self, tokens, keys, stage)

    monkeypatch.setattr(STA, "keep", spy)
    tiny.set_reduction("sta:r=4")
    with torch.autocast("cpu", torch.bfloat16):
        tiny(golden.clips(1, side=32))
    assert seen == [(torch.float32, torch.float32, False)] * 3


def test_positions_are_sine_and_cosine_in_turn():
    table = sinusoid(5, 6)
    assert table.shape == (1, 5, 6)
    for position in range(5):
        for channel in range(6):
            angle = position / 10000 ** (2 * (channel // 2) / 6)
            expected = np.sin(angle) if channel % 2 == 0 else np.cos(angle)
            assert table[0, position, channel].item() == pytest.approx(expected, abs=1e-7)


def test_state_dict_is_videomaes():
    model = create_model("vit_demo")
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == golden.shapes("vit_demo")


def test_number_of_classes():
    assert create_model("vit_demo", num_classes=3).head.weight.shape == (3, 40)
    assert create_model("vit_demo").num_classes == 16


def test_errors_name_the_valid_choices(demo):
    with pytest.raises(ValueError, match="unknown model 'vit_giant'; valid models: vit_small, vit_base"):
        create_model("vit_giant")
    with pytest.raises(ValueError, match=r"\(B, 3, 16, 56, 56\), got \(1, 3, 8, 56, 56\)"):
        demo(torch.zeros(1, 3, 8, 56, 56))


def test_architectures_count_their_tokens():
    base = ARCHITECTURES["vit_base"]
    assert (base.slots, base.tokens_per_slot) == (8, 196)
    assert (replace(base, image=56, patch=8).tokens_per_slot) == 49
