"""ToMe, vid-TLDR, PiToMe and RLT against what their published code gives, in float64."""

import numpy as np
import pytest
import torch

from models import create_model
from models.tracing import trace
from tests.models import golden, rivals

EXPECTED = np.load(rivals.EXPECTED)
CASES = sorted(key for key in EXPECTED if key.count("|") == 2)


@pytest.fixture(scope="module")
def small():
    model = create_model("vit_small")
    model.load_state_dict(golden.weights("vit_small"))
    return model.double().eval()


@pytest.fixture(scope="module")
def clips():
    return {"drift": golden.clips(2).double(), "static": rivals.static(2).double()}


def test_the_file_has_every_method():
    assert {key.split("|")[1].partition(":")[0] for key in CASES} == {"none", "tome", "rlt", "vidtldr", "pitome"}


@torch.inference_mode()
@pytest.mark.parametrize("case", CASES)
def test_logits_and_tokens_are_those_of_the_published_code(small, clips, case):
    _, reduction, clip = case.split("|")
    small.set_reduction(reduction)
    logits, stages = trace(small, clips[clip])
    error = np.linalg.norm(logits.numpy() - EXPECTED[case], axis=1) / np.linalg.norm(EXPECTED[case], axis=1)
    assert error.max() < 1e-8
    parts = {key.rpartition("|")[2]: EXPECTED[key] for key in EXPECTED if key.startswith(f"{case}|")}
    if "source" in parts:
        assert np.array_equal(stages[-1].after.numpy(), parts["source"])
    if "kept" in parts:
        assert np.array_equal(stages[-1].after.numpy() >= 0, parts["kept"])
    if "size" in parts:
        np.testing.assert_allclose(torch.stack(stages[-1].sizes).numpy(), parts["size"], rtol=1e-6)
    if "counts" in parts:
        planned = small.reduction.tokens(small.arch)
        assert [attention for attention, _ in planned] + [planned[-1][1]] == parts["counts"].tolist()
        assert stages[-1].count() == parts["counts"][-1]
