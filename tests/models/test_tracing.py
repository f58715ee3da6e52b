import pytest
import torch

from models import create_model
from models.reduction.sta import STA
from models.tracing import trace


@pytest.fixture
def traced(clips):
    model = create_model("vit_demo", "sta:r=12").eval()
    with torch.inference_mode():
        logits, stages = trace(model, clips)
        assert torch.equal(logits, model(clips))
    return stages


@pytest.fixture
def clips():
    return torch.randn(2, 3, 16, 56, 56, generator=torch.Generator().manual_seed(5))


def test_each_stage_sees_what_the_one_before_kept(traced):
    assert [(stage.block, len(stage.seen()), len(stage.kept()), stage.count()) for stage in traced] == [
        (1, 392, 8 * 37, 8 * 37),
        (5, 8 * 37, 4 * 62, 4 * 62),
        (9, 4 * 62, 2 * 112, 2 * 112),
    ]
    for clip in range(2):
        seen = list(range(392))
        for stage in traced:
            assert stage.seen(clip).tolist() == seen
            kept = stage.kept(clip).tolist()
            assert len(set(kept)) == len(kept)
            assert set(kept) <= set(seen)
            seen = kept


def test_the_tokens_of_a_slot_stay_in_its_time_slots(traced):
    for joined, stage in zip((1, 2, 4), traced, strict=True):
        for clip in range(2):
            for number, slot in enumerate(stage.kept(clip).unflatten(0, (8 // joined, -1)) // 49):
                assert set(slot.tolist()) <= set(range(number * joined, (number + 1) * joined))


def test_the_score_is_what_the_choice_was_made_by(traced):
    for number, (slots, stage) in enumerate(zip((8, 4, 2), traced, strict=True), 1):
        first = 0 if number % 2 else slots - 1
        for b in range(2):
            score = stage.maps["score"][b].tolist()
            seen = stage.seen(b).unflatten(0, (slots, -1)).tolist()
            kept = stage.kept(b).unflatten(0, (slots, -1)).tolist()
            for slot in range(slots):
                if slot == first:
                    assert all(score[place] != score[place] for place in seen[slot])
                else:
                    assert kept[slot] == sorted(seen[slot], key=score.__getitem__)[: len(kept[slot])]


def test_importance_spans_0_to_1_in_each_slot(traced):
    for slots, stage in zip((8, 4, 2), traced, strict=True):
        for b in range(2):
            values = stage.maps["importance"][b, stage.seen(b)].unflatten(0, (slots, -1))
            assert torch.equal(values.amin(-1), torch.zeros(slots))
            assert torch.equal(values.amax(-1), torch.ones(slots))


def test_nothing_is_chosen_for_the_sake_of_a_trace(clips, monkeypatch):
    asked = []
    keep = STA.keep
    monkeypatch.setattr(STA, "keep", lambda self, *given: asked.append(given[2]) or keep(self, *given))
    model = create_model("vit_demo", "sta:r=12")
    trace(model, clips)
    assert asked == [1, 2, 3]


def test_the_plain_model_and_methods_with_nothing_more_to_show(clips):
    assert trace(create_model("vit_demo"), clips)[1] == []
    stages = trace(create_model("vit_demo", "random:r=12"), clips)[1]
    assert [stage.maps for stage in stages] == [{}, {}, {}]


def test_a_method_built_on_another_is_asked_itself(clips, monkeypatch):
    """Its `keep` decides, with or without a trace, and what it inherits to show follows what it kept."""

    class Leading(STA):
        def keep(self, tokens, keys, stage):
            return torch.arange(tokens.shape[2] - self.r).expand(*tokens.shape[:2], -1)

    model = create_model("vit_demo", "sta:r=12").eval()
    model.reduction = Leading(12)
    with torch.inference_mode():
        logits, stages = trace(model, clips)
        assert torch.equal(logits, model(clips))
    assert stages[0].kept().unflatten(0, (8, -1)).tolist() == [[49 * t + n for n in range(37)] for t in range(8)]
    assert not torch.isnan(stages[0].maps["score"][:, 49:]).any()
