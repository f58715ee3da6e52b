"""Kernels that a profile chooses: they run, a record says so, and what is not there is refused."""

from pathlib import Path

import pytest
import torch

from harness.planning.plan import make_plan
from jobs.node.device import ready_model
from jobs.node.kernels import chosen
from jobs.spec.cells import Cell
from jobs.spec.identity import identity
from jobs.spec.kernels import Kernels
from jobs.spec.wire import from_dict, to_dict
from jobs.work.timing import AttentionRun, attention_run
from models import create_model
from tests.harness.made import make_planner, make_table

TOP1 = Cell("vit_demo", "none", "motion", "2x3", "top1")
CLIPS = Cell("vit_demo", "none", "", "", "clips_per_s")


def clips(model: torch.nn.Module) -> torch.Tensor:
    return torch.randn(2, 3, 16, 56, 56, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_attention_runs_with_the_kernel_that_is_chosen() -> None:
    model = create_model("vit_demo").eval()
    expected = model(clips(model))
    with chosen(Kernels(attention="math")):
        assert attention_run(model, clips(model), "fp32") == ["math"]
        assert torch.allclose(model(clips(model)), expected, atol=1e-4)
    with chosen(Kernels(attention="flash")):
        assert "flash" in "".join(attention_run(model, clips(model), "fp32"))


@torch.inference_mode()
@pytest.mark.parametrize(("attention", "ran"), [("auto", "flash"), ("flash", "flash"), ("math", "math")])
def test_what_ran_is_told_in_inference_mode_too(attention: str, ran: str) -> None:
    model = create_model("vit_demo").eval()
    with chosen(Kernels(attention=attention)):
        expected = model(clips(model))
        with AttentionRun() as run:
            found = model(clips(model))
    assert torch.equal(found, expected)
    assert [ran in name for name in run.operators()] == [True]


@torch.inference_mode()
@pytest.mark.parametrize("attention", ["efficient", "cudnn"])
def test_a_kernel_that_is_not_there_is_refused_in_one_line(attention: str) -> None:
    model = create_model("vit_demo").eval()
    said = f"attention = {attention}: torch has none for this device, precision and these shapes; take another, or auto"
    with pytest.raises(ValueError, match=said), chosen(Kernels(attention=attention)):
        model(clips(model))


@torch.inference_mode()
@pytest.mark.parametrize("reduction", ["none", "sta:r=12", "tome:r=8,prop=1", "rlt"])
def test_compiled_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch, reduction: str) -> None:
    """By the tracer alone: making code takes a compiler, and minutes."""
    made: list[object] = []
    compiler = torch.compile

    def traced(layers: object, **how: object) -> object:
        made.append(layers)
        return compiler(layers, **(how | {"backend": "eager"}))  # type: ignore[call-overload]

    monkeypatch.setattr(torch, "compile", traced)
    torch._dynamo.reset()
    plain = create_model("vit_demo", reduction).eval()
    model = ready_model("vit_demo", plain.num_classes, torch.device("cpu"), compiled=True)
    model.load_state_dict(plain.state_dict())
    model.set_reduction(reduction)
    assert torch.equal(model(clips(model)), plain(clips(plain)))
    assert len(made) >= 12
    torch._dynamo.reset()


@torch.inference_mode()
def test_blocks_are_compiled_after_it_was_looked_at_what_they_run() -> None:
    model = create_model("vit_demo", "sta:r=12").eval()
    model.compile_blocks("eager")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    assert "flash" in attention_run(model, clips(model), "fp32")[0]
    assert not torch._dynamo.utils.counters["stats"]["unique_graphs"]
    model(clips(model))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"]
    torch._dynamo.reset()


@torch.inference_mode()
def test_packed_clips_are_not_compiled_for_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda *given, **how: pytest.fail("a block of packed clips is compiled"))
    model = create_model("vit_demo", "rlt").eval()
    taken = clips(model)
    taken[0] = taken[0, :, :1]  # the first clip stands still
    expected = model(taken)
    model.compile_blocks()
    assert torch.equal(model(taken), expected)


def test_records_say_what_was_chosen_and_records_of_before_stand(tmp_path: Path) -> None:
    plain = make_planner(tmp_path / "plain")
    other = make_planner(
        tmp_path / "other",
        overrides=["evaluate.attention=math", "measure.compile=true", "evaluate.compile=true"],
    )
    for cell, said in ((TOP1, {"attention": "math", "compile": True}), (CLIPS, {"compile": True})):
        before, after = plain.job([cell]), other.job([cell])
        settings = before.settings(cell)
        others = {name: value for name, value in settings.items() if name not in ("compile", "attention")}
        assert identity(vars(cell), settings) == identity(vars(cell), others)
        assert {name: after.settings(cell).get(name) for name in said} == said
        assert before.record_id(cell) != after.record_id(cell)
        assert from_dict(to_dict(after)) == after
        old = to_dict(before)
        del old["kernels"]  # as jobs of before were written
        assert from_dict(old) == before
    assert make_plan([make_table([TOP1, CLIPS])], other, set()).jobs


def test_a_profile_that_names_another_kernel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown evaluate.attention 'xformers'; valid: auto, flash, "):
        make_planner(tmp_path, overrides=["evaluate.attention=xformers"])
