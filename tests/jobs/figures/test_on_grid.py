"""Figures of a model whose stages find grids of their own: what is white is what was dropped of that grid."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from jobs.figures.clip_data import page_data
from jobs.figures.drawing import heat_rows, token_rows
from jobs.figures.shown import Shown, paint, shown_stages
from models import create_model
from models.catalog import ARCHITECTURES, VideoSwin
from models.reduction.sta import STA
from models.tracing import Stage, trace
from results.render.page.drawable import problem_of
from results.render.page.strip import across, cover

ARCH = VideoSwin.of(8, (1, 2, 1, 1), (1, 1, 2, 4), image=36, patch=4, frames=8, window=(2, 3, 3), num_classes=5)
"""Grids of 9², 5², 3² and 2²: what the later ones' last rows and columns span, ends beyond the frame."""
SIZE = 6
"""Pixels of a patch."""


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> tuple[Shown, list[Stage], list[Tensor]]:
    """A clip, its stages, and what was kept at each."""
    asked: list[Tensor] = []
    keep: Callable[..., Tensor] = STA.keep

    def spy(self: STA, *given: object) -> Tensor:
        asked.append(keep(self, *given))
        return asked[-1]

    monkeypatch.setattr(STA, "keep", spy)
    monkeypatch.setitem(ARCHITECTURES, "swin_small", ARCH)
    model = create_model("swin_small", "sta:r=10").eval()
    with torch.inference_mode():
        stages = trace(model, torch.randn(1, 3, 8, 36, 36, generator=torch.Generator().manual_seed(2)))[1]
    frames = np.random.default_rng(1).integers(0, 250, (8, 9 * SIZE, 9 * SIZE, 3), dtype=np.uint8)
    shown = Shown("a.mp4", "swin_small", "sta:r=10", 9, 4, range(8), frames, shown_stages(stages, ARCH))
    return shown, stages, asked


def test_each_stage_has_its_own_grid(drawn: tuple[Shown, list[Stage], list[Tensor]]) -> None:
    shown, stages, asked = drawn
    assert [(stage.block, stage.place, stage.span, stage.slots) for stage in stages] == [
        (2, "before", 2, 4),
        (4, "before", 4, 4),
        (5, "before", 8, 4),
    ]
    assert [stage.count() for stage in stages] == [4 * (25 - 10), 4 * (9 - 3), 4 * (4 - 1)]
    assert [stage.where for stage in shown.stages] == ["before block 2", "before block 4", "before block 5"]
    for stage, kept in zip(stages, asked, strict=True):
        assert stage.seen().tolist() == list(range(len(stage.seen())))
        first = len(stage.seen()) // 4 * torch.arange(4)[:, None]
        assert sorted(stage.kept().tolist()) == sorted((kept[0] + first).flatten().tolist())


def test_white_is_what_was_dropped_of_that_grid(drawn: tuple[Shown, list[Stage], list[Tensor]]) -> None:
    shown, _, asked = drawn
    for stage, kept, columns in zip(shown.stages, asked, (5, 3, 2), strict=True):
        picture, cell = paint(shown, stage), stage.span * SIZE
        for frame in range(8):
            left = set(kept[0, frame // 2].tolist())
            for place in range(columns**2):
                row, column = divmod(place, columns)
                part = np.s_[frame, cell * row : cell * row + cell, cell * column : cell * column + cell]
                assert (picture[part] == (shown.frames[part] if place in left else 255)).all()


def test_the_page_shows_the_same(drawn: tuple[Shown, list[Stage], list[Tensor]]) -> None:
    shown, _, asked = drawn
    content = json.loads(json.dumps(page_data(shown)))
    assert problem_of(content) == ""
    for stage, kept, columns in zip(content["stages"], asked, (5, 3, 2), strict=True):
        assert across(stage, content) == columns
        for slot, marks in enumerate(stage["kept"]):
            assert [place for place, mark in enumerate(marks) if mark == "1"] == sorted(kept[0, slot].tolist())
            assert cover(marks, columns).count("M") > 0
        assert set(stage["maps"]) == {"importance", "score"}
    content["stages"][1]["span"] = 3
    assert problem_of(content) == ""  # 9 patches are 3 positions of 3
    content["stages"][1]["span"] = 2
    assert problem_of(content) == "a stage has not one value a patch and slot"


def test_pictures_for_print_have_a_row_a_stage(drawn: tuple[Shown, list[Stage], list[Tensor]]) -> None:
    shown = drawn[0]
    assert [row.label for row in token_rows(shown)] == [
        "frames",
        "stage 1\nbefore block 2\n60 % left",
        "stage 2\nbefore block 4\n67 % left",
        "stage 3\nbefore block 5\n75 % left",
    ]
    for row in (*token_rows(shown), *heat_rows(shown)):
        assert row.pictures.shape == (4, 54, 54, 3)
