"""What the model does in training only."""

import pytest
import torch
import torch.nn.functional as F
from timm.optim import param_groups_layer_decay

from models import count_flops, create_model
from models.layers import Context
from models.reduction.sta import STA
from models.stages import Stages
from models.tokens import Tokens
from models.vit import VisionTransformer
from tests.models import golden

DEPTH = 12


@pytest.fixture
def clips():
    return golden.clips(2, side=56)


def literal(model, clips, branches=None):
    """Logits of each clip by itself, its kept tokens picked one by one; and each stage's input and the choice there."""
    logits, seen = [], []
    for b, clip in enumerate(clips):
        x, slots, stage = model.patch_embed(clip[None]) + model.positions, 8, 0
        for i, block in enumerate(model.blocks):
            mixed, (asked,) = block.attn(block.norm1(x), Context(("keys",)))
            for j in range(2):
                branch = mixed if j == 0 else block.mlp(block.norm2(x))
                rate = 0.0 if branches is None else model.drop_path * i / (DEPTH - 1)
                if rate == 0 or branches[b, 2 * i + j] >= rate:
                    x = x + branch / (1 - rate)
            if i + 1 in model.reduction.stages(DEPTH):
                stage += 1
                x.retain_grad()
                tokens = x.unflatten(1, (slots, -1))
                m = F.normalize(asked["keys"].mean(1), dim=-1).unflatten(1, tokens.shape[1:3])
                kept = model.reduction.keep(tokens.detach(), m.detach(), stage)[0].tolist()
                seen.append((x, [t * tokens.shape[2] + n for t, slot in enumerate(kept) for n in slot]))
                x, slots = torch.stack([tokens[0, t, n] for t, slot in enumerate(kept) for n in slot])[None], slots // 2
        logits.append(model.head(model.fc_norm(x.mean(1))))
    return torch.cat(logits), seen


def gradients(model, logits):
    model.zero_grad()
    (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def agree(given, expected):
    """Each gradient differs by a hundred-thousandth of its largest value at most."""
    for name, gradient in expected.items():
        assert (given[name] - gradient).abs().max() <= 1e-5 * gradient.abs().max(), name


def test_gradients_under_sta_are_those_of_picking_tokens_one_by_one(demo, clips):
    demo.train().set_reduction("sta:r=12")
    logits, seen = literal(demo, clips)
    expected = gradients(demo, logits)
    assert [len(kept) for _, kept in seen] == [8 * 37, 4 * 62, 2 * 112] * 2
    for x, kept in seen:
        dropped = sorted(set(range(x.shape[1])) - set(kept))
        assert (x.grad[0, kept].abs().sum(-1) > 0).all()
        assert (x.grad[0, dropped] == 0).all()
    given = demo(clips)
    torch.testing.assert_close(given, logits, rtol=1e-4, atol=1e-5)
    agree(gradients(demo, given), expected)


def test_dropped_tokens_get_no_gradient(demo):
    """Of what comes after their stage; what they did for others in the block before stays."""
    demo.set_reduction("sta:r=12")
    torch.manual_seed(0)
    tokens, keys = torch.randn(2, 8, 49, 40, requires_grad=True), torch.randn(2, 1, 392, 40, requires_grad=True)
    stages = Stages(demo.reduction, demo.arch, torch.zeros(2, 3, 16, 56, 56), None)
    out = stages.run("after", 1, Tokens(tokens.flatten(1, 2)), [{"keys": keys}]).x
    out.sum().backward()
    kept = tokens.grad.sum(-1) > 0
    assert (tokens.grad[kept] == 1).all()
    assert (tokens.grad[~kept] == 0).all()
    assert (kept.sum(-1) == 37).all()
    assert keys.grad is None
    assert torch.equal(out.sort(1)[0], torch.stack([t[k] for t, k in zip(tokens, kept, strict=True)]).sort(1)[0])


def saved_bytes(model, clips, branches):
    """Bytes that wait for the backward pass: what autograd saves, and the blocks' inputs, which checkpointing holds."""
    storages = {}

    def note(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def note_input(block, inputs):
        note(inputs[0])

    hooks = [block.register_forward_pre_hook(note_input) for block in model.blocks]
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits = model(clips, branches)
    for hook in hooks:
        hook.remove()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    return sum(size for pointer, size in storages.items() if pointer not in weights), logits


def test_activation_checkpointing_saves_memory_and_changes_no_gradient(demo, clips):
    demo.train().set_reduction("sta:r=12")
    demo.drop_path = 0.3
    branches = torch.rand(2, 2 * DEPTH, generator=torch.Generator().manual_seed(0))
    plain_bytes, logits = saved_bytes(demo, clips, branches)
    plain = gradients(demo, logits)
    demo.activation_checkpointing = True
    fewer_bytes, again = saved_bytes(demo, clips, branches)
    assert fewer_bytes < plain_bytes / 5
    assert torch.equal(again, logits)
    for name, gradient in gradients(demo, again).items():
        assert torch.equal(gradient, plain[name]), name


@pytest.mark.parametrize("reduction", ["none", "sta:r=12"])
def test_stochastic_depth_skips_and_scales_each_samples_own_branches(demo, clips, reduction):
    demo.train().set_reduction(reduction)
    demo.drop_path = 0.6
    branches = torch.rand(2, 2 * DEPTH, generator=torch.Generator().manual_seed(1))
    logits, _ = literal(demo, clips, branches)
    expected = gradients(demo, logits)
    given = demo(clips, branches)
    torch.testing.assert_close(given, logits, rtol=1e-4, atol=1e-5)
    agree(gradients(demo, given), expected)


@torch.no_grad()
def test_stochastic_depth_at_its_ends(demo, clips):
    demo.train()
    demo.drop_path = 0.5
    almost_one = torch.full((2, 2 * DEPTH), 1 - 2**-24)
    torch.testing.assert_close(demo(clips, almost_one), literal(demo, clips, almost_one)[0], rtol=1e-4, atol=1e-5)
    first = demo.blocks[0](demo.patch_embed(clips) + demo.positions)[0].mean(1)
    torch.testing.assert_close(demo(clips, torch.zeros(2, 2 * DEPTH)), demo.head(demo.fc_norm(first)))


@torch.no_grad()
def test_stochastic_depth_is_for_training(demo, clips):
    plain = demo(clips)
    demo.drop_path = 0.5
    assert torch.equal(demo(clips), plain)
    assert torch.equal(demo(clips, torch.zeros(2, 2 * DEPTH)), plain)
    demo.train()
    for wrong in (None, torch.zeros(2, DEPTH), torch.zeros(1, 2 * DEPTH)):
        with pytest.raises(ValueError, match=r"needs branches of the shape \(2, 24\), got"):
            demo(clips, wrong)
    demo.drop_path = 0.0
    assert torch.equal(demo(clips), plain)


def test_counting_leaves_training_alone(demo):
    flops = count_flops(demo)
    demo.train()
    demo.drop_path, demo.activation_checkpointing = 0.5, True
    assert count_flops(demo) == flops
    assert demo.training
    assert demo.blocks[0].training


@torch.no_grad()
@pytest.mark.parametrize("reduction", ["none", "sta:r=12"])
def test_short_clips_have_the_positions_of_their_part_of_a_whole_one(demo, clips, reduction):
    demo.set_reduction(reduction)
    whole = demo(clips)
    demo.set_frames(4, slot=5)
    assert (demo.arch.frames, demo.arch.slots) == (4, 2)
    short = VisionTransformer(demo.arch, demo.num_classes).eval()
    short.load_state_dict(demo.state_dict())
    short.set_reduction(reduction)
    short.positions = demo.positions[:, 5 * 49 : 7 * 49]
    assert torch.equal(demo(clips[:, :, :4]), short(clips[:, :, :4]))
    with pytest.raises(ValueError, match=r"\(B, 3, 4, 56, 56\), got \(2, 3, 16, 56, 56\)"):
        demo(clips)
    demo.set_frames(16)
    assert demo.arch == create_model("vit_demo").arch
    assert torch.equal(demo(clips), whole)


@torch.no_grad()
def test_short_clips_that_do_not_fit_leave_the_model_as_it_was(demo, clips):
    demo.set_reduction("sta:r=12")
    whole = demo(clips)
    for frames, slot in ((0, 0), (3, 0), (18, 0), (-2, 0), (16, 1), (4, 7), (4, -1)):
        with pytest.raises(ValueError, match=f"of {frames} frames from time slot {slot} on does not fit; valid: mult"):
            demo.set_frames(frames, slot)
    with pytest.raises(ValueError, match="3 slots after block 1 cannot be joined in pairs"):
        demo.set_frames(6)
    assert torch.equal(demo(clips), whole)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("positions", [True, False])
def test_a_converted_model_still_scores_in_full_precision(demo, clips, dtype, positions, monkeypatch):
    """Converted with or without its positions; DeepSpeed leaves buffers as they are."""
    seen, keep = [], STA.keep

    def spy(self, tokens, keys, stage):
        seen.append((tokens.dtype, keys.dtype))
        return keep(self, tokens, keys, stage)

    monkeypatch.setattr(STA, "keep", spy)
    table = demo.positions
    demo.train().to(dtype).set_reduction("sta:r=12")
    if not positions:
        demo.positions = table
    demo.set_frames(4, slot=2)
    demo.drop_path, demo.activation_checkpointing = 0.2, True
    branches = torch.rand(2, 2 * DEPTH, generator=torch.Generator().manual_seed(2))
    logits = demo(clips[:, :, :4].to(dtype), branches)
    assert seen == [(torch.float32, torch.float32)] * 3
    assert logits.dtype == dtype
    assert demo.positions.dtype == (dtype if positions else torch.float32)
    logits.float().square().sum().backward()
    assert all(p.grad.dtype == dtype and p.grad.isfinite().all() for p in demo.parameters())


def test_layer_decay_is_videomaes(demo):
    scales, decays = {}, {}
    for group in param_groups_layer_decay(demo, weight_decay=0.05, layer_decay=0.75):
        for parameter in group["params"]:
            scales[id(parameter)], decays[id(parameter)] = group["lr_scale"], group["weight_decay"]
    for name, parameter in demo.named_parameters():
        part, number, *_ = name.split(".")
        layer = {"patch_embed": 0, "fc_norm": DEPTH + 1, "head": DEPTH + 1}.get(part)
        layer = int(number) + 1 if layer is None else layer
        assert scales[id(parameter)] == pytest.approx(0.75 ** (DEPTH + 1 - layer)), name
        assert decays[id(parameter)] == (0.05 if name.endswith(".weight") and "norm" not in name else 0), name


def test_first_weights_are_xaviers():
    torch.manual_seed(0)
    for name, parameter in create_model("vit_demo").named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            bound = (6 / (parameter.shape[0] + parameter[0].numel())) ** 0.5
            assert 0.95 * bound < parameter.abs().max() <= bound, name
            assert parameter.square().mean().sqrt().item() == pytest.approx(bound / 3**0.5, rel=0.1), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("name", "reduction"),
    [
        *(("vit_demo", one) for one in ("none", "sta:r=4", "tome:r=5,prop=1", "vidtldr:r=9", "rlt")),
        *(("swin_demo", one) for one in ("none", "sta:r=4")),
    ],
)
def test_a_step_runs_with_parameters_alone_converted(name, reduction, dtype) -> None:
    """As DeepSpeed does in mixed precision: buffers stay as they are."""
    model = create_model(name, reduction).train()
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    arch = model.arch
    model(torch.randn(1, 3, arch.frames, arch.image, arch.image, dtype=dtype)).float().sum().backward()
    assert {one.grad.dtype for one in model.parameters() if one.grad is not None} == {dtype}
