from dataclasses import replace

import numpy as np
import pytest
import torch
from timm.optim import param_groups_layer_decay
from torchvision.models.video import swin_transformer as torchvision_swin

from models import count_flops, create_model
from models.catalog import ARCHITECTURES, VideoSwin, architecture
from models.reduction import Reduction, check, reduction_on
from models.reduction.sta import STA
from models.tracing import Trace
from tests.models import swin, swin_literal
from tests.models.literal import weights_of

# STA, Table 3: GFLOPs at r1 = 0, 192, 256, 320.
TABLE_3 = {
    ("swin3d_t", 400): (88, 68, 61, 54),
    ("swin3d_s", 400): (166, 121, 106, 91),
    ("swin3d_b", 400): (282, 202, 176, 149),
    ("swin3d_b_w16", 174): (321, 241, 215, 188),
}

# Odd sides, sides that windows do not divide, and sides shorter than a window.
SMALL = {
    "padded": VideoSwin.of(8, (2, 2), (1, 2), image=20, patch=4, frames=6, window=(2, 3, 3), num_classes=5),
    "three levels": VideoSwin.of(8, (2, 2, 1), (1, 2, 4), image=24, patch=4, frames=8, window=(3, 2, 4), num_classes=5),
    "short clips": VideoSwin.of(8, (1, 2), (2, 4), image=24, patch=4, frames=4, window=(8, 4, 4), num_classes=5),
}


@pytest.fixture(params=SMALL)
def small(request, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "swin_small", SMALL[request.param])
    model = create_model("swin_small").eval()
    model.load_state_dict(swin.weights(SMALL[request.param], 5, seed=77))
    return model


def kept_of(events, slots):
    """Of each stage the positions (B, slots, K) that stay, ascending."""
    found = []
    for event in events:
        places = event.moves.unflatten(1, (slots, -1)) >= 0
        found.append(np.array([[np.flatnonzero(slot) for slot in clip] for clip in places.numpy()]))
    return found


@pytest.mark.parametrize(
    ("case", "batch"),
    [
        ("swin3d_t|8-7-7|400|0", 1),
        ("swin3d_t|8-7-7|400|192", 2),
        ("swin3d_t|8-7-7|400|256", 1),
        ("swin3d_t|16-7-7|174|192", 2),
    ],
)
def test_logits_are_those_of_the_literal_version(case, batch):
    expected = np.load(swin.EXPECTED)
    name, window, classes, r1 = case.split("|")
    name += "_w16" if window == "16-7-7" else ""
    model = create_model(name, "none" if r1 == "0" else f"sta:r={r1}", int(classes)).eval()
    model.load_state_dict(swin.weights(architecture(name), int(classes)))
    seen = Trace(model.reduction, model.arch, batch)
    clips = torch.cat([swin.clip(), swin.clip(seed=6)])[:batch].flip(0)
    with torch.no_grad():
        logits = model(clips, observers=(seen,))[-1].numpy()
    assert np.abs(logits - expected[case]).max() <= 5e-6 * np.abs(expected[case]).max()
    for stage, kept in enumerate(kept_of(seen.events, 16), 1):
        if f"{case}|kept{stage}" in expected:
            assert (kept[-1:] == expected[f"{case}|kept{stage}"]).all()
    assert len(seen.events) == (0 if r1 == "0" else 3)


@pytest.mark.parametrize(("name", "frames"), [("swin3d_t", 32), ("swin3d_s", 16), ("swin3d_b", 16)])
def test_without_a_reduction_it_is_torchvisions(name, frames, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, name, replace(architecture(name), frames=frames))
    state = swin.weights(architecture(name), 400)
    model, theirs = create_model(name).eval(), getattr(torchvision_swin, name)().eval()
    model.load_state_dict(state)
    missing, extra = theirs.load_state_dict(state, strict=False)
    assert not extra
    assert all(key.endswith("relative_position_index") for key in missing)
    with torch.no_grad():
        for clip in (swin.clip()[:, :, :frames], torch.zeros(1, 3, frames, 224, 224))[: 1 + (frames == 32)]:
            expected = theirs(clip)
            assert (model(clip) - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize("window", [(8, 7, 7), (16, 7, 7)])
@pytest.mark.parametrize(("image", "frames"), [(56, 16), (72, 10), (40, 4), (100, 32)])
def test_other_clips_are_torchvisions_too(image, frames, window, monkeypatch):
    arch = VideoSwin.of(96, (2, 2, 6, 2), (3, 6, 12, 24), image=image, frames=frames, window=window)
    monkeypatch.setitem(ARCHITECTURES, "swin_other", arch)
    state = swin.weights(arch, 400)
    theirs = torchvision_swin.SwinTransformer3d(
        patch_size=[2, 4, 4], embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=list(window)
    ).eval()
    theirs.load_state_dict(state, strict=False)
    model = create_model("swin_other").eval()
    model.load_state_dict(state)
    clips = swin.clip()[:, :, :frames, :image, :image]
    with torch.no_grad():
        expected = theirs(clips)
        assert (model(clips) - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize("r1", [0, 3, 5])
def test_a_literal_transcription_in_float64(small, r1):
    model, arch = small.double(), small.arch
    model.set_reduction(f"sta:r={r1}")
    clip = torch.randn(1, 3, arch.frames, arch.image, arch.image, generator=torch.Generator().manual_seed(3)).double()
    seen = Trace(model.reduction, arch, 1)
    with torch.no_grad():
        found = model(clip, observers=(seen,))[0].numpy()
    expected, kept = swin_literal.logits(weights_of(small.state_dict()), clip[0].numpy(), arch, r1)
    for ours, theirs in zip(kept_of(seen.events, arch.slots), kept, strict=True):
        assert ours[0].tolist() == theirs
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize(("name", "classes"), TABLE_3)
def test_gflops_of_the_papers_sixteen_cells(name, classes):
    with torch.device("meta"):
        model = create_model(name, num_classes=classes)
    for r1, printed in zip((0, 192, 256, 320), TABLE_3[name, classes], strict=True):
        model.set_reduction(f"sta:r={r1}")
        assert count_flops(model) / 1e9 == pytest.approx(printed, abs=0.5)


@pytest.mark.parametrize("reduction", ["none", "sta:r=3", "random:r=4", "uniform:r=2"])
def test_fvcore_counts_the_same(small, reduction):
    small.set_reduction(reduction)
    assert count_flops(small) == count_flops(small, with_fvcore=True) == small.reduction.multiply_adds(small.arch)


@pytest.mark.parametrize("reduction", ["none", "sta:r=4", "random:r=3", "uniform:r=5"])
def test_a_clip_does_not_hang_on_its_batch(small, reduction):
    small.double().set_reduction(reduction)
    arch = small.arch
    clips = torch.randn(3, 3, arch.frames, arch.image, arch.image).double()
    with torch.no_grad():
        alone = torch.cat([small(clip[None]) for clip in clips])
        assert (small(clips) - alone).abs().max() <= 1e-12 * alone.abs().max()


@pytest.mark.parametrize("reduction", ["none", "sta:r=4"])
def test_a_training_step_is_that_of_its_clips_alone(small, reduction):
    """With stochastic depth, and whether activations are kept or computed again."""
    model, arch = small.double().train(), small.arch
    model.set_reduction(reduction)
    model.drop_path = 0.5
    clips = torch.randn(4, 3, arch.frames, arch.image, arch.image).double()
    branches = torch.rand(4, 2 * arch.depth)

    def gradients(parts, again):
        model.zero_grad()
        model.activation_checkpointing = again
        for clip, own in parts:
            model(clip, own).square().sum().backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])

    together = gradients([(clips, branches)], again=False)
    alone = gradients(zip(clips.split(1), branches.split(1), strict=True), again=True)
    assert together.abs().max() > 0
    assert (together - alone).abs().max() <= 1e-9 * together.abs().max()


def test_a_branch_that_is_skipped_adds_nothing(small):
    model, arch = small.train(), small.arch
    model.drop_path = 0.9
    clip = torch.randn(1, 3, arch.frames, arch.image, arch.image)
    branches = torch.ones(1, 2 * arch.depth)
    branches[0, 2 * arch.depth - 1] = 0
    with torch.no_grad():
        without = model(clip, branches)
        last = model.features[-1][-1]
        for parameter in last.mlp.parameters():
            parameter.add_(1.0)
        assert torch.equal(model(clip, branches), without)
        branches[0, 2 * arch.depth - 1] = 1
        assert not torch.equal(model(clip, branches), without)


def test_drops_of_the_stages_are_the_papers_fractions():
    arch = architecture("swin3d_t")
    for r1 in range(400):
        assert [arch.dropped(r1, stage) for stage in (1, 2, 3)] == [r1, int(1.5 * r1 / 4), int(2 * r1 / 16)]


def test_more_than_half_of_a_slot_may_go():
    assert reduction_on("sta:r=391", architecture("swin3d_b")).left(16 * 49, 3, architecture("swin3d_b")) == 16


GRID = (
    "cannot run on a model whose tokens stay on a grid, as those of a Video Swin Transformer; there a method can only "
    "choose which tokens of each slot stay, by `keep` of Staged; those that do: none, random, sta, uniform"
)


@pytest.mark.parametrize(
    ("reduction", "problem"),
    [
        *((one, GRID) for one in ("tome:r=65", "rlt", "vidtldr:r=400", "pitome:ratio=0.9")),
        *((one, GRID) for one in ("tome:gflops=60", "sta:gflops=tome:r=9")),
        ("sta:r=392", "sta:r=392: r is at most 391, so that a token is left of each grid, 28², 14², 7²"),
        ("sta:r=64,at=3-5", "at is for a ViT; in this model stages run before blocks 3, 5, 11"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_with_what_can(reduction, problem):
    with pytest.raises(ValueError, match=problem.replace("²", ".")) as caught:
        reduction_on(reduction, architecture("swin3d_t"))
    assert "\n" not in str(caught.value)


def test_masks_are_dense_in_their_last_dimension(small, monkeypatch):
    """The fused kernels of GPUs take no others."""
    strides = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def spy(q, k, v, attn_mask):
        strides.append(attn_mask.stride(-1))
        return attend(q, k, v, attn_mask=attn_mask)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    small(torch.randn(2, 3, small.arch.frames, small.arch.image, small.arch.image))
    assert set(strides) == {1}


def test_methods_with_a_schedule_of_their_own_are_refused_on_a_grid():
    class Merging(STA):
        def choose(self, seen):
            return None

    class Elsewhere(STA):
        def stages(self, depth):
            return (2,)

    class ByBlocks(Reduction):
        def blocks(self, arch):
            return (2,)

    for method in (Merging(r=4), Elsewhere(r=4), ByBlocks()):
        type(method).name = "mine"
        with pytest.raises(ValueError, match="mine cannot run on a model whose tokens stay on a grid"):
            check(method, architecture("swin3d_t"))
    with pytest.raises(ValueError, match="this model has no level but the first"):
        check(STA(r=4), VideoSwin.of(8, (2,), (1,), image=16))


def test_a_network_that_runs_no_stages_is_told():
    model = create_model("vit_demo", "sta:r=12").eval()
    model.logits = lambda video, stages, branches: video.mean((1, 2, 3, 4))
    with pytest.raises(ValueError, match="sta:r=12 has stages at blocks 1, 5, 9 of this model, which did not run them"):
        model(torch.zeros(1, 3, 16, 56, 56))


def test_stages_that_drop_nothing_leave_all(small):
    small.set_reduction("sta:r=1")
    clip = torch.randn(1, 3, small.arch.frames, small.arch.image, small.arch.image)
    assert small(clip).shape == (1, 5)
    assert count_flops(small) == small.reduction.multiply_adds(small.arch)


def test_a_stand_in_of_another_kind_is_refused_and_other_shares_are_told():
    base, demo, swin_t = (architecture(name) for name in ("vit_base", "swin_demo", "swin3d_t"))
    with pytest.raises(ValueError, match="one keeps its tokens on a grid and the other in a sequence"):
        STA(r=48).fit(base, demo)
    fitted, note = STA(r=192).fit(swin_t, demo)
    assert fitted.r == 48
    assert note == "stage 3 drops 38 % of its grid instead of 49 %"


def test_the_dearest_within_a_budget():
    arch = architecture("swin3d_t")
    found = reduction_on("sta:gflops=61.1", arch)
    assert found.multiply_adds(arch) <= 61.1e9 < reduction_on(f"sta:r={found.r - 1}", arch).multiply_adds(arch)


def test_layers_are_numbered_from_the_patches_to_the_head():
    """Patch merging counts as a layer, and tables of biases do not decay."""
    model = create_model("swin_demo")
    scales, decays = {}, {}
    for group in param_groups_layer_decay(
        model, weight_decay=0.05, no_weight_decay_list=model.no_weight_decay(), layer_decay=0.5
    ):
        for parameter in group["params"]:
            scales[id(parameter)], decays[id(parameter)] = group["lr_scale"], group["weight_decay"]
    order = ["patch_embed"]
    for level in range(4):
        order += [f"features.{2 * level}.{block}" for block in range(2)]
        order += [f"features.{2 * level + 1}"] if level < 3 else []
    order.append("head")
    for name, parameter in model.named_parameters():
        beginning = next((one for one in order if name.startswith(f"{one}.")), "head")
        assert scales[id(parameter)] == 0.5 ** (len(order) - 1 - order.index(beginning)), name
        decayed = parameter.dim() > 1 and "table" not in name
        assert decays[id(parameter)] == (0.05 if decayed else 0), name


def test_short_clips_take_the_same_weights(small):
    arch = small.arch
    small.set_frames(arch.tubelet)
    short = torch.randn(2, 3, arch.tubelet, arch.image, arch.image)
    assert small(short).shape == (2, 5)
    small.set_frames(arch.frames)
    assert small(torch.randn(1, 3, arch.frames, arch.image, arch.image)).shape == (1, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_runs_in_half_precision_and_under_autocast(small, dtype):
    clip = torch.randn(1, 3, small.arch.frames, small.arch.image, small.arch.image)
    small.set_reduction("random:r=4")  # whose choice no rounding changes
    with torch.no_grad():
        whole = small(clip)
        with torch.autocast("cpu", dtype):
            assert (small(clip).float() - whole).abs().max() < 0.1 * whole.abs().max()
        small.set_reduction("sta:r=4")
        half = small.to(dtype)(clip.to(dtype))
        assert half.dtype == dtype
        assert half.isfinite().all()


def test_a_clip_of_another_shape_is_refused():
    with torch.device("meta"):
        model = create_model("swin3d_t")
    with pytest.raises(ValueError, match=r"shape \(B, 3, 32, 224, 224\), got \(1, 3, 16, 224, 224\)"):
        model(torch.empty(1, 3, 16, 224, 224, device="meta"))
