"""Reductions asked for by what they cost."""

import pytest

from models import count_flops, create_model
from models.catalog import ARCHITECTURES
from models.reduction import parse, reduction_on

MODELS = ("vit_small", "vit_base", "vit_large", "vit_huge")
# The r of ToMe that costs most without costing more than STA with r = 32, 48 and 64, by an independent count.
TOME = {"vit_small": (58, 87, 116), "vit_base": (56, 84, 112), "vit_large": (30, 44, 59), "vit_huge": (23, 34, 45)}


@pytest.mark.parametrize("model", MODELS)
def test_tome_at_the_costs_of_sta(model):
    arch = ARCHITECTURES[model]
    for r, expected in zip((32, 48, 64), TOME[model], strict=True):
        assert str(reduction_on(f"tome:gflops=sta:r={r}", arch)) == f"tome:r={expected}"


@pytest.mark.parametrize("budget", ["308", "410.5", "sta:r=48,at=3-11-19", "pitome:ratio=0.95"])
@pytest.mark.parametrize("method", ["tome", "tome:prop=1", "tome:decreasing=1", "sta", "random:seed=3", "vidtldr"])
def test_it_is_the_dearest_that_does_not_cost_more(method, budget):
    arch = ARCHITECTURES["vit_large"]
    others = method + ("," if ":" in method else ":")
    found = reduction_on(f"{others}gflops={budget}", arch)
    most = parse(budget).multiply_adds(arch) if ":" in budget else 1e9 * float(budget)
    assert found.multiply_adds(arch) <= most
    (r,) = found.r if isinstance(found.r, tuple) else (found.r,)
    assert parse(f"{others}r={int(r) - 1}").multiply_adds(arch) > most


def test_pitome_is_found_to_a_thousandth():
    arch = ARCHITECTURES["vit_base"]
    found = reduction_on("pitome:gflops=sta:r=48", arch)
    most = parse("sta:r=48").multiply_adds(arch)
    assert found.multiply_adds(arch) <= most < parse(f"pitome:ratio={found.ratio + 0.001:.3f}").multiply_adds(arch)


def test_other_settings_stand_before_or_after():
    arch = ARCHITECTURES["vit_large"]
    assert str(reduction_on("tome:gflops=308,prop=1", arch)) == "tome:r=59,prop=1"
    assert str(reduction_on("tome:prop=1,gflops=sta:r=64", arch)) == "tome:r=59,prop=1"


def test_a_model_takes_it():
    model = create_model("vit_demo", "tome:gflops=0.15")
    assert count_flops(model) <= 0.15e9
    model.set_reduction("sta:gflops=tome:r=16")
    assert count_flops(model) <= parse("tome:r=16").multiply_adds(model.arch)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rlt:gflops=300", "what rlt costs depends on what clips show; give its own settings instead"),
        ("tome:gflops=rlt:tau=0.1", "what rlt:tau=0.1 costs depends on what clips show"),
        ("none:gflops=300", "none has no setting by which its cost can be chosen"),
        ("tome:gflops=3", "no r of tome costs as little on this model"),
        ("tome:gflops=dtem:r=3", "unknown reduction 'dtem'"),
        ("tome:gflops=sta:r=64,prop=1", "after gflops= stands a number or a reduction, which is last: bad setting"),
        ("tome:gflops=sta:r=300", "r is at most half of a slot's 196 tokens"),
        (
            "tome:mode=dropped,gflops=300",
            "mode=dropped in reduction 'tome:mode=dropped,r=0' must be merge or drop or random_merge or random_drop",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        reduction_on(text, ARCHITECTURES["vit_large"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_model_it_is_refused():
    with pytest.raises(ValueError, match="what it costs depends on the model; give settings"):
        parse("tome:gflops=308")
