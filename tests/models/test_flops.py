import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models import count_flops, create_model
from models.catalog import ARCHITECTURES
from models.reduction import Reduction, parse

# Main paper, Table 2: GFLOPs at r = 0, 32, 48, 64.
TABLE_2 = {
    "vit_small": (57, 42, 35, 29),
    "vit_base": (180, 136, 116, 96),
    "vit_large": (597, 446, 376, 308),
    "vit_huge": (1192, 890, 748, 611),
}
# Supplement, Table 3, all ViT-L; r and locations of the 2 and 4 stages are inferred.
TABLE_3 = {
    "sta:r=74,at=1-13": 302,
    "sta:r=64": 308,
    "sta:r=60,at=1-7-13-19": 305,
    "sta:r=64,at=3-11-19": 339,
    "sta:r=64,at=5-13-21": 370,
}


def without_weights(name, reduction="none"):
    with torch.device("meta"):
        return create_model(name, reduction)


@pytest.mark.parametrize("name", TABLE_2)
def test_gflops_of_the_main_papers_table_2(name):
    model = without_weights(name)
    for r, printed in zip((0, 32, 48, 64), TABLE_2[name], strict=True):
        model.set_reduction(f"sta:r={r}")
        assert count_flops(model) / 1e9 == pytest.approx(printed, abs=1)


def test_gflops_of_the_supplements_table_3():
    model = without_weights("vit_large")
    for reduction, printed in TABLE_3.items():
        model.set_reduction(reduction)
        assert int(count_flops(model) / 1e9) == printed


@pytest.mark.parametrize(
    "reduction",
    ["none", "sta:r=12", "sta:r=20,at=2-3-4-5", "random:r=12", "tome:r=13,prop=1", "vidtldr:r=100", "pitome:ratio=0.9"],
)
def test_fvcore_counts_the_same(reduction):
    model = create_model("vit_demo", reduction)
    assert count_flops(model) == count_flops(model, with_fvcore=True)


def test_the_count_by_hand():
    model = without_weights("vit_demo")
    n, c, depth, classes, patch = 392, 40, 12, 16, 3 * 2 * 8 * 8
    linear = 3 * n * c * c + n * c * c + 2 * n * c * 4 * c
    block = linear + 2 * n * n * c + 2 * 5 * n * c
    assert count_flops(model) == n * patch * c + depth * block + 5 * c + c * classes


def test_the_products_of_the_reduction_count():
    sta, random = (count_flops(without_weights("vit_demo", f"{name}:r=12")) for name in ("sta", "random"))
    by_hand = 0
    for slots, tokens in ((8, 49), (4, 74), (2, 124)):
        even, width = (tokens + 1) // 2, 40
        by_hand += even * (tokens - even) * width  # first slot: every even token with every odd one
        for previous in [tokens] + [tokens - 12] * (slots - 2):
            by_hand += tokens * previous * (width + 1)  # similarities, and the masses they spread
    assert sta - random == by_hand


REDUCTIONS = [
    "none",
    "random:r=12,at=1-3-5-7-8",
    "uniform:r=12",
    "sta:r=12",
    "sta:r=20,at=2-3-4-5",
    "tome:r=13",
    "tome:r=13,decreasing=1,prop=1",
    "tome:r=400",
    "tome:r=9-0-50,mode=drop",
    "tome:r=20,mode=random_merge",
    "vidtldr:r=0.3-50",
    "pitome:ratio=0.93",
]


ON_GRID = ["none", "random:r=12", "uniform:r=39", "sta:r=17", "sta:r=88", "sta:gflops=random:r=20"]


@pytest.mark.parametrize(
    ("name", "reduction"),
    [(name, one) for name, arch in ARCHITECTURES.items() for one in (ON_GRID if arch.on_grid else REDUCTIONS)],
)
def test_shapes_alone_tell_the_flops(name, reduction):
    arch, model = ARCHITECTURES[name], without_weights(name, reduction)
    assert model.reduction.multiply_adds(arch) == count_flops(model)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shapes_alone_tell_the_parameters(name):
    arch, model = ARCHITECTURES[name], without_weights(name)
    assert arch.parameters(arch.num_classes) == sum(parameter.numel() for parameter in model.parameters())


# GFLOPs of S, B, L, H from token counts alone, as an independent count has them.
RIVALS = {
    "tome:r=50": (43.7, 140.6, 347.3, 551.8),
    "tome:r=65": (40.0, 129.3, 281.0, 425.7),
    "tome:r=100": (32.0, 104.3, 184.6, 278.6),
    "tome:r=150": (23.0, 74.3, 124.9, 188.2),
    "tome:r=65,decreasing=1": (34.2, 111.9, 183.8, 249.7),
    "vidtldr:r=400-200": (32.7, 108.0, 351.1, 703.3),
    "vidtldr:r=550-400": (21.3, 71.4, 223.5, 445.6),
    "vidtldr:r=600-200-100": (22.9, 76.7, 241.6, 482.0),
    "pitome:ratio=0.9": (29.5, 95.5, 200.2, 317.5),
    "pitome:ratio=0.925": (34.4, 110.7, 250.6, 409.4),
    "pitome:ratio=0.95": (40.6, 129.5, 323.4, 552.2),
    "pitome:ratio=0.975": (48.5, 152.9, 431.9, 786.4),
}


@pytest.mark.parametrize("reduction", RIVALS)
def test_gflops_of_rivals(reduction):
    for name, expected in zip(TABLE_2, RIVALS[reduction], strict=True):
        assert count_flops(without_weights(name, reduction)) / 1e9 == pytest.approx(expected, abs=0.06)


def test_what_rlt_costs_is_counted_on_a_clip():
    model = create_model("vit_demo", "rlt:tau=0.1")
    clip = torch.randn(1, 3, 16, 56, 56, generator=torch.Generator().manual_seed(0))
    clip[..., :24] = 0.5  # three of seven columns of patches stand still
    kept = 49 + 7 * 28
    arch = model.arch
    assert count_flops(model, clip=clip) == arch.multiply_adds([(kept, kept)] * arch.depth)
    assert parse("rlt").tokens(arch) is None
    with pytest.raises(ValueError, match=r"what rlt:tau=0\.1 costs depends on the clip; count it on clips of"):
        count_flops(model)


@pytest.mark.parametrize("reduction", ["none", "sta:r=12", "tome:r=13,prop=1", "vidtldr:r=100-50", "pitome:ratio=0.9"])
def test_a_clip_that_is_taken_forward_counts_the_same(reduction):
    model = create_model("vit_demo", reduction)
    assert count_flops(model, clip=torch.randn(1, 3, 16, 56, 56)) == count_flops(model)


def test_what_a_method_of_another_kind_keeps_shows_only_when_it_runs():
    class Other(Reduction):
        def stages(self, depth):
            return (3,)

    assert Other().tokens(ARCHITECTURES["vit_small"]) is None


class OnlyMeta(TorchDispatchMode):
    """Fails where an operation makes a tensor that takes memory."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            assert not isinstance(tensor, torch.Tensor) or tensor.is_meta, func
        return out


def test_counting_takes_no_memory_for_tensors():
    real, meta = create_model("vit_demo", "sta:r=12"), without_weights("vit_demo", "sta:r=12")
    with OnlyMeta():
        assert count_flops(real) == count_flops(meta)
    assert not any(parameter.is_meta for parameter in real.parameters())


def test_counting_works_in_half_precision_and_changes_nothing():
    model = create_model("vit_demo", "sta:r=12")
    full = count_flops(model)
    assert count_flops(model.half()) == full
    assert model.positions.device.type == "cpu"


def test_fvcore_needs_weights():
    with pytest.raises(ValueError, match="needs a model with weights"):
        count_flops(without_weights("vit_demo"), with_fvcore=True)
