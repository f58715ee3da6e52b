"""Tables in a terminal: golden text, and any width and any names."""

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from results.render import Entry, TableView
from results.render.grid import lay_out
from results.render.terminal import render, show
from tests.results.render.test_render import NASTY, grid, hostile, small

WIDE = """\
Table 3. Number of STA blocks

                    GFLOPs                      Top-1
STA          measured  paper  diff        measured  paper    diff   clips/s
───────────────────────────────────────────────────────────────────────────
2 stages †      302.8    302  +0.8   84.38 (60/64)   84.5   -0.12    31.3 !
3 stages        308.0    308  +0.0    running 37 %   85.0            failed
4 stages      pending    305                ~96.00   84.8  +11.20

- paper: ViT-L on Kinetics-400
- † 2 stages: inferred, r = 74 at 1, 13
- ~ projected, not measured
- ! 2 stages, clips/s: IQR is 14 % of the median
- 3 stages, clips/s failed: out of memory
- 4 stages, Top-1: from 3 of 8 shards
"""

NARROW = """\
Table 3. Number of STA blocks

                    GFLOPs
STA          measured  paper  diff
──────────────────────────────────
2 stages †      302.8    302  +0.8
3 stages        308.0    308  +0.0
4 stages      pending    305

                      Top-1
STA          measured  paper    diff
────────────────────────────────────
2 stages †     84.38ᵃ   84.5   -0.12
3 stages     run 37 %   85.0
4 stages       ~96.00   84.8  +11.20

STA          clips/s
────────────────────
2 stages †    31.3 !
3 stages      failed
4 stages

- paper: ViT-L on Kinetics-400
- ᵃ partial: 60 of 64 videos
- † 2 stages: inferred, r = 74 at 1, 13
- ~ projected, not measured
- ! 2 stages, clips/s: IQR is 14 % of
  the median
- 3 stages, clips/s failed: out of
  memory
- 4 stages, Top-1: from 3 of 8 shards
"""


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_table_that_fits() -> None:
    assert render([small()], 80, False) == WIDE


def test_a_narrow_terminal_gets_blocks_of_columns_with_the_row_labels_each() -> None:
    assert render([small()], 40, False) == NARROW


def test_colour_alters_nothing_else() -> None:
    for width in (40, 80, 120):
        coloured = render([small(), grid("done", value=80.0)], width, True)
        assert plain(coloured) == render([small(), grid("done", value=80.0)], width, False)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *(("302.8", 32), ("302", 2), ("84.38 (60/64)", 33), ("running 37 %", 33), ("~96.00", 33)),
        *(("31.3 !", 33), ("failed", 31), ("pending", 2)),
    ],
)
def test_colours(text: str, code: int) -> None:
    assert f"\x1b[{code}m{text}\x1b[0m" in render([small()], 80, True)


def test_several_tables_stand_apart() -> None:
    assert render([small(), small()], 80, False) == f"{WIDE}\n{WIDE}"
    assert render([], 80, False) == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "stream", "coloured"),
    [
        ({}, Terminal(), True),
        ({"NO_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": ""}, Terminal(), True),
        ({"TERM": "dumb"}, Terminal(), False),
        ({}, io.StringIO(), False),
        ({"FORCE_COLOR": "1"}, io.StringIO(), False),
    ],
)
def test_colour_only_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], stream: io.StringIO, coloured: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm", "COLUMNS": "40"} | environment).items():
        monkeypatch.setenv(name, value)
    show([small()], stream)
    assert ("\x1b" in stream.getvalue()) == coloured
    assert plain(stream.getvalue()) == NARROW


@pytest.mark.parametrize("text", [*NASTY, "[red]x[/red] [link=https://x.org]y[/link] [/]", ":smile: [b]"])
def test_hostile_text_is_inert(text: str) -> None:
    coloured = render([hostile(text)], 60, True)
    shown = plain(coloured)
    assert "\x1b" not in shown
    assert all(char.isprintable() or char == "\n" for char in shown)
    words = lay_out(hostile(text), wide=True).footnotes[0].split()
    assert [word for word in words if len(word) < 20 and word not in " ".join(shown.split())] == []
    # Only the styles of this renderer: bold, dim, red, green, yellow.
    assert set(re.findall(r"\x1b\[([0-9;]*)m", coloured)) <= {"0", "1", "2", "31", "32", "33"}


def test_a_long_label_goes_on_in_the_next_line() -> None:
    view = grid("done", rows=("vit_large sta:r=64,at=3-11-19",), columns=("top1",), value=80.0)
    lines = render([view], 40, False).splitlines()
    assert lines[5:] == [
        "vit_large            80.00  84.91  -4.91",
        "sta:r=64,at=3-1",
        "1-19",
    ]


LABELS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)


@settings(max_examples=30, deadline=None)
@given(st.integers(34, 130), st.lists(LABELS, min_size=1, max_size=5, unique=True), st.data())
def test_at_any_width_each_value_is_whole_and_in_the_place_of_its_row(
    width: int, columns: list[str], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(LABELS, min_size=1, max_size=4, unique=True))
    printed = data.draw(st.sampled_from([None, 84.91]))
    entries = {
        (row, column): Entry(row, column, "top1", 10 + number + place / 10, printed, "done")
        for number, row in enumerate(rows)
        for place, column in enumerate(columns)
    }
    view = TableView("t", "A title", "corner", rows, columns, entries)
    text = render([view], width, False)
    assert all(cell_len(line) <= width for line in text.splitlines())
    blocks = re.split(r"\n─+\n", text)[1:]
    values = [re.findall(r"(?<=  )(1\d\.\d\d)(?=  |$)", line) for block in blocks for line in block.splitlines()]
    values = [found for found in values if found]
    by_row = [[value for found in values[number :: len(rows)] for value in found] for number in range(len(rows))]
    assert by_row == [[f"{entries[row, column].value:.2f}" for column in columns] for row in rows]
