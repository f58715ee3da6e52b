import dataclasses
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import models.reduction
from models import create_model
from models.catalog import ARCHITECTURES
from models.plugin_code import digest_of
from models.reduction import methods, parse, source_digest
from models.reduction._base import REGISTRY
from models.reduction.random import RandomDropping
from models.reduction.sta import STA

DEMO, BASE, LARGE, HUGE = (ARCHITECTURES[f"vit_{name}"] for name in ("demo", "base", "large", "huge"))


def test_methods_are_the_files_of_the_folder():
    assert methods() == ["none", "pitome", "random", "rlt", "sta", "tome", "uniform", "vidtldr"]


def test_what_the_text_says():
    assert parse("sta:r=48") == STA(48)
    assert parse("sta:r=64,at=3-11-19") == parse(" sta:at=3-11-19,r=64 ") == STA(64, (3, 11, 19))
    assert parse("random:seed=3,r=8") == RandomDropping(8, seed=3)
    assert parse("none").name == "none"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dtem:r=8", "unknown reduction 'dtem' in 'dtem:r=8'; valid reductions: none, pitome, random, rlt, sta, tome,"),
        ("", "unknown reduction '' in ''; valid reductions: none, pitome, random, rlt, sta, tome,"),
        ("_base:r=8", "unknown reduction '_base'"),
        ("sta:r=48,k=3", "bad setting 'k=3' in reduction 'sta:r=48,k=3'; sta takes r=…, at=…, first=…, "),
        ("sta:r=48,r=64", "bad setting 'r=64' in reduction 'sta:r=48,r=64'; sta takes r=…, at=…, first=…, "),
        ("sta:48", "bad setting '48'"),
        ("sta:", "bad setting ''"),
        ("sta:r=48,", "bad setting ''"),
        ("none:r=0", "bad setting 'r=0' in reduction 'none:r=0'; none takes none at all"),
        ("sta:r=many", "r=many in reduction 'sta:r=many' must be a whole number, 0 or more"),
        ("sta:r=-1", "r=-1 in reduction 'sta:r=-1' must be a whole number, 0 or more"),
        ("sta:r=4.5", "r=4.5 in reduction"),
        ("sta:r=٤٨", "r=٤٨ in reduction"),
        ("sta", "reduction 'sta' lacks r=…, a whole number, 0 or more"),
        ("sta:at=1-5-9", "reduction 'sta:at=1-5-9' lacks r=…"),
        ("sta:r=8,at=9-5", "reduction 'sta:r=8,at=9-5': at must name blocks from 1 on, ascending, as in at="),
        ("sta:r=8,at=5-5", "must name blocks from 1 on, ascending"),
        ("sta:r=8,at=0-5", "must name blocks from 1 on, ascending"),
        ("sta:r=8,at=", "at= in reduction 'sta:r=8,at=' must be a whole number"),
        ("sta:r=8,at=1,5,9", "bad setting '5'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "arch", "message"),
    [
        ("sta:r=99", BASE, "sta:r=99: r is at most half of a slot's 196 tokens after block 1, 98"),
        ("random:r=25", DEMO, "random:r=25: r is at most half of a slot's 49 tokens after block 1, 24"),
        ("sta:r=8,at=3-13", BASE, "sta:r=8,at=3-13: there is no block 13; the model has 12"),
        ("sta:r=8", replace(BASE, frames=12), "sta:r=8: 3 slots after block 5 cannot be joined in pairs"),
    ],
)
def test_what_does_not_fit_a_model(text, arch, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parse(text).check(arch)
    assert message in str(caught.value)


def test_stages_sit_where_the_paper_puts_them():
    assert STA(64).stages(BASE.depth) == (1, 5, 9)
    assert STA(64).stages(LARGE.depth) == (1, 9, 17)
    assert STA(64).stages(HUGE.depth) == (1, 11, 22)


@pytest.mark.parametrize(
    ("text", "arch", "canonical"),
    [
        ("sta:r=0", BASE, "none"),
        ("random:r=0,seed=3", BASE, "none"),
        ("none", BASE, "none"),
        ("sta:at=1-9-17,r=64", LARGE, "sta:r=64"),
        ("sta:at=1-9-17,r=64", HUGE, "sta:r=64,at=1-9-17"),
        ("sta:r=064", LARGE, "sta:r=64"),
        ("sta:at=3-11-19,r=64", LARGE, "sta:r=64,at=3-11-19"),
        ("random:seed=0,r=8", BASE, "random:r=8"),
        ("random:at=2,seed=3,r=8", BASE, "random:r=8,seed=3,at=2"),
    ],
)
def test_equal_reductions_share_one_spelling(text, arch, canonical):
    assert parse(text).canonical(arch) == canonical


@given(r=st.integers(1, 98), at=st.none() | st.sets(st.integers(1, 24), min_size=1), seed=st.integers(0, 9))
def test_the_one_spelling_means_the_same(r, at, seed):
    blocks = tuple(sorted(at)) if at else None
    for reduction in (STA(r, blocks), RandomDropping(r, blocks, seed)):
        text = reduction.canonical(LARGE)
        again = parse(text)
        assert again.canonical(LARGE) == text
        assert again.stages(LARGE.depth) == reduction.stages(LARGE.depth)
        assert (again.r, again.name) == (r, reduction.name)


@pytest.mark.parametrize(
    ("text", "fitted", "note"),
    [
        ("none", "none", ""),
        ("sta:r=48", "sta:r=12", ""),
        ("sta:r=64", "sta:r=16", ""),
        ("sta:r=80", "sta:r=20", ""),
        ("sta:r=64,at=3-11-19", "sta:r=16,at=2-6-10", ""),
        ("sta:r=64,at=5-13-21", "sta:r=16,at=3-7-11", ""),
        ("sta:r=60,at=1-7-13-19", "sta:r=15,at=1-4-7-10", ""),
        ("sta:r=74,at=1-13", "sta:r=18,at=1-7", "r = 74 scales to 18.5, rounded to 18"),
        ("random:r=48,seed=2", "random:r=12,seed=2", ""),
    ],
)
def test_a_reduction_is_carried_over_to_the_demo_model(text, fitted, note):
    reduction, said = parse(text).fit(LARGE, DEMO)
    assert (reduction.canonical(DEMO), said) == (fitted, note)
    reduction.check(DEMO)


def test_random_dropping_is_seeded_sorted_and_the_same_for_every_clip():
    tokens, keys = torch.zeros(3, 8, 49, 4), torch.zeros(3, 8, 49, 2)
    kept = RandomDropping(12).keep(tokens, keys, 1)
    assert kept.shape == (3, 8, 37)
    assert torch.equal(kept[0], kept[1])
    assert (kept.diff(dim=-1) > 0).all()
    assert torch.equal(kept, RandomDropping(12).keep(tokens, keys, 1))
    others = [RandomDropping(12, seed=1).keep(tokens, keys, 1), RandomDropping(12).keep(tokens, keys, 2)]
    assert not any(torch.equal(kept, other) for other in others)
    assert len({tuple(slot) for slot in kept[0].tolist()}) == 8  # slots differ
    # Every position is as likely to stay as another.
    often = torch.stack([RandomDropping(12, seed=s).keep(tokens[:1], keys[:1], 1) for s in range(200)])
    share = often.flatten().bincount(minlength=49) / (200 * 8)
    assert (share - 37 / 49).abs().max() < 0.06


def test_a_new_method_is_one_new_file(tmp_path, monkeypatch):
    (tmp_path / "leading.py").write_text(
        '''
from dataclasses import dataclass
import torch
from models.reduction import Staged, register

@register
@dataclass(frozen=True)
class Leading(Staged):
    """Keeps the leading tokens of every slot."""

    def keep(self, tokens, keys, stage):
        return torch.arange(tokens.shape[2] - self.r).expand(*tokens.shape[:2], -1)
'''
    )
    monkeypatch.setattr(models.reduction, "__path__", [*models.reduction.__path__, str(tmp_path)])
    try:
        assert "leading" in methods()
        assert parse("leading:r=12").canonical(DEMO) == "leading:r=12"
        assert create_model("vit_demo", "leading:r=12")(torch.zeros(1, 3, 16, 56, 56)).shape == (1, 16)
    finally:
        sys.modules.pop("models.reduction.leading", None)
        REGISTRY.pop("leading", None)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def x(", r"models/reduction/broken1\.py cannot be loaded: SyntaxError"),
        ("x = 1", r"models/reduction/broken2\.py has no class decorated with @register"),
    ],
)
def test_a_method_that_cannot_be_used_is_said_in_one_line(tmp_path, monkeypatch, source, message):
    name = "broken1" if "def" in source else "broken2"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setattr(models.reduction, "__path__", [*models.reduction.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match=message):
        parse(f"{name}:r=1")


def test_a_changed_method_has_another_digest(tmp_path, monkeypatch):
    monkeypatch.setattr(models.reduction, "__path__", [*models.reduction.__path__, str(tmp_path)])
    (tmp_path / "mine.py").write_text("from models.reduction._shared import x")
    before = source_digest("mine")
    assert source_digest("mine") == before
    (tmp_path / "mine.py").write_text("from models.reduction._shared import y")
    assert source_digest("mine") != before


def test_what_a_method_imports_beside_it_is_in_its_digest(tmp_path):
    for name, text in (("mine.py", "import _between"), ("_between.py", "from _far import x"), ("_far.py", "x = 1")):
        (tmp_path / name).write_text(text)
    before = digest_of(tmp_path / "mine.py")
    (tmp_path / "_far.py").write_text("x = 12")
    assert digest_of(tmp_path / "mine.py") != before
    (tmp_path / "other.py").write_text("x = 1")
    assert digest_of(tmp_path / "mine.py") == digest_of(tmp_path / "mine.py")


def test_a_list_is_scaled_by_what_each_was() -> None:
    """A count that becomes less than one is none, and not a share; what is cut is said."""
    small = dataclasses.replace(DEMO, levels=(dataclasses.replace(DEMO.levels[0], depth=4),))
    for text, fitted, noted in (
        ("vidtldr:r=400-200", "vidtldr:r=100-50", False),
        ("vidtldr:r=2-0.25", "vidtldr:r=0-0.25", True),
        ("vidtldr:r=0.2-0.2-0.2-0.2-0.2", "vidtldr:r=0.2-0.2-0.2-0.2", True),
        ("tome:r=40-40-40-40-40", "tome:r=10-10-10-10", True),
    ):
        found, note = parse(text).fit(BASE, small)
        assert (str(found), bool(note)) == (fitted, noted), text
