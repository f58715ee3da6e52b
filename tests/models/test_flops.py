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


@pytest.mark.parametrize("reduction", ["none", "sta:r=12", "sta:r=20,at=2-3-4-5", "random:r=12"])
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


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shapes_alone_tell_parameters_and_flops(name):
    arch, model = ARCHITECTURES[name], without_weights(name)
    assert arch.parameters(arch.num_classes) == sum(parameter.numel() for parameter in model.parameters())
    for reduction in ("none", "random:r=12", "random:r=12,at=1-3-5-7-8"):
        model.set_reduction(reduction)
        assert arch.multiply_adds(parse(reduction).tokens(arch)) == count_flops(model)


def test_shapes_alone_leave_out_the_products_of_the_reduction_itself():
    arch = ARCHITECTURES["vit_small"]
    alone = arch.multiply_adds(parse("sta:r=48").tokens(arch))
    assert 0.997 < alone / count_flops(without_weights("vit_small", "sta:r=48")) < 1


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
