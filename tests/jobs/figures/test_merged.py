"""Merged tokens in figures: the patches of one have one colour, and lines stand where another begins."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from jobs.figures.clip_data import page_data
from jobs.figures.drawing import token_rows
from jobs.figures.shown import EDGE, MOST_STAGES, Shown, paint, shown_stages
from models import create_model
from models.tracing import Stage, trace
from results.render.page.drawable import problem_of

SIZE = 24
SIDE = 7 * SIZE


def drawn(reduction: str) -> tuple[Shown, list[Stage]]:
    """A clip of plain patches, each of a colour of its own in every frame."""
    model = create_model("vit_demo", reduction).eval()
    stream = torch.Generator().manual_seed(3)
    clip = torch.randn(1, 3, 16, 56, 56, generator=stream)
    clip[..., :24] = 0.25  # stands still
    with torch.inference_mode():
        stages = trace(model, clip)[1]
    colours = np.random.default_rng(1).integers(60, 200, (16, 7, 7, 3), dtype=np.uint8)
    frames = colours.repeat(SIZE, axis=1).repeat(SIZE, axis=2)
    return Shown("a.mp4", "vit_demo", reduction, 7, 8, range(16), frames, shown_stages(stages, model.arch)), stages


def inside(picture: np.ndarray, place: int, frame: int) -> np.ndarray:
    """The pixels of a patch (place = slot · 49 + patch) without its border, in one of its slot's frames."""
    row, column = divmod(place % 49, 7)
    return picture[2 * (place // 49) + frame, SIZE * row + 3 : SIZE * row + 21, SIZE * column + 3 : SIZE * column + 21]


@pytest.mark.parametrize("reduction", ["tome:r=16", "pitome:ratio=0.9", "vidtldr:r=100-50"])
def test_patches_have_the_colour_of_their_group(reduction: str) -> None:
    shown, stages = drawn(reduction)
    for stage in shown.stages:
        picture, held = paint(shown, stage), stages[stage.number - 1].after[0].tolist()
        sizes = Counter(token for token in held if token >= 0)
        for place, token in enumerate(held):
            for frame in (0, 1):
                found = inside(picture, place, frame)
                if token < 0:
                    assert (found == 255).all()
                elif sizes[token] == 1:
                    assert (found == inside(shown.frames, place, frame)).all()
                else:
                    others = [inside(shown.frames, k, f) for k in range(392) if held[k] == token for f in (0, 1)]
                    assert abs(found - np.mean(others, axis=(0, 1, 2))).max() < 1


def test_lines_stand_between_tokens_and_nowhere_else() -> None:
    shown, _ = drawn("tome:r=16")
    stage = shown.stages[-1]
    picture, held = paint(shown, stage)[::2], stage.held.reshape(8, 7, 7)
    merged = stage.groups.reshape(8, 7, 7) > 0
    assert merged.any()
    for slot in range(8):
        for row in range(7):
            for column in range(6):
                last = picture[slot, SIZE * row + 12, SIZE * column + SIZE - 1]
                other = held[slot, row, column] != held[slot, row, column + 1]
                assert (last == EDGE).all() == (merged[slot, row, column] and other)


def test_a_few_stages_are_shown_and_named_by_where_they_ran() -> None:
    shown, stages = drawn("tome:r=16")
    assert len(stages) == 12
    assert [(stage.number, stage.where) for stage in shown.stages] == [(n, f"in block {n}") for n in (3, 6, 9, 12)]
    assert len(shown.stages) == MOST_STAGES
    assert shown.stages[-1].left == 392 - 12 * 16
    assert [row.label for row in token_rows(shown)][-1] == "stage 12\nin block 12\n51 % left"
    rlt, (only,) = drawn("rlt:tau=0.1")
    (stage,) = rlt.stages
    assert (stage.where, stage.left) == ("before block 1", 49 + 7 * 28)
    assert only.count() == stage.left == stage.kept.sum()
    assert not stage.groups.any()


def test_the_page_gets_groups_and_colours() -> None:
    shown, _ = drawn("tome:r=16")
    content: dict[str, Any] = json.loads(json.dumps(page_data(shown)))
    assert problem_of(content) == ""
    last = content["stages"][-1]
    groups = np.array(last["groups"])
    assert (groups == shown.stages[-1].groups).all()
    assert len(last["colours"]) == groups.max()
    assert "groups" not in page_data(drawn("sta:r=12")[0])["stages"][0]
    for wrong, problem in (
        ({"groups": [[0] * 49] * 7}, "the groups of merged tokens have not one number a patch and slot"),
        ({"groups": [[9999] * 49] * 8}, "a group of merged tokens has no colour"),
        ({"colours": ["red;}<script>"] * len(last["colours"])}, "a colour is not said in six digits"),
        ({"left": "many"}, "where a stage ran, or how much it left, is not what it should be"),
    ):
        assert problem_of(content | {"stages": [last | wrong]}) == problem
