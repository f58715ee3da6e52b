"""Plots as files and as part of a page, with names that try to break both."""

import re
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any
from xml.dom import minidom

import matplotlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.render.plot import Plot, Point, Series, marked_notes, pdf, svg, tips, write_plots
from results.render.plot.figure import BLACK, COLOURS, DASHES, GROUND, INK, MARKERS, STYLE, draw

NASTY = [
    "<script>alert(1)</script> $\\frac{1$ a_b^{c $",
    "a\"b'c & d ]]> --> <!--",
    "\x00\x1b[31m\ud800\n\ttab",
    "视频 😀",
]


def small(**changes: Any) -> Plot:
    start = Point(180.5, 81.2, "none", y_low=80.1, y_high=82.2, record="r0")
    measured = (start, Point(115.9, 80.6, "sta:r=48", 110, 121, 79.4, 81.7, record="r48"))
    printed = (Point(180.0, 81.0, "none", published=True), Point(116.0, 80.5, "STA48", published=True))
    series = (
        Series("vit, sta", measured, line=True),
        Series("paper: vit, sta", printed, line=True, beside="vit, sta"),
        Series("vit, random", (start, Point(116.0, 78.0, "random:r=48")), line=True),
    )
    content: dict[str, Any] = {"name": "small-top1", "title": "Small", "x_label": "GFLOPs a clip", "y_label": "top-1"}
    return Plot(**(content | {"series": series, "notes": ("bars: all there is",)} | changes))


def elements(text: str, name: str) -> list[minidom.Element]:
    return list(minidom.parseString(text).getElementsByTagName(name))


def texts(text: str) -> list[str]:
    return [
        "".join(one.data for one in node.childNodes if isinstance(one, minidom.Text)) for node in elements(text, "text")
    ]


def marker(text: str, number: int) -> minidom.Element:
    (group,) = (one for one in elements(text, "g") if one.getAttribute("id") == f"small-top1-point-{number}")
    (use,) = group.getElementsByTagName("use")
    return use


def test_svg_has_its_text_as_text() -> None:
    found = texts(svg(small()))
    for said in ("Small", "GFLOPs a clip", "top-1", "vit, sta", "paper: vit, sta", "vit, random", "bars: all there is"):
        assert said in found
    assert not any("speed-up" in one for one in found)
    assert "speed-up = FLOPs ratio" in texts(svg(small(diagonal=True)))


@pytest.mark.parametrize("inline", [False, True])
def test_each_marker_has_the_id_that_its_tip_has(inline: bool) -> None:
    text = svg(small(), inline)
    ids = [one.getAttribute("id") for one in elements(text, "g")]
    shown = tips(small())
    assert [id for id in ids if "-point-" in id] == list(shown) == [f"small-top1-point-{n}" for n in range(6)]
    assert shown["small-top1-point-1"] == {
        "text": "sta:r=48; GFLOPs a clip: 115.9 (110 to 121); top-1: 80.6 (79.4 to 81.7)",
        "record": "r48",
    }
    assert shown["small-top1-point-3"] == {"text": "STA48; GFLOPs a clip: 116; top-1: 80.5", "record": ""}


def test_published_points_are_hollow_in_the_look_of_what_they_stand_beside() -> None:
    text = svg(small())
    measured, printed, other = (marker(text, number).getAttribute("style") for number in (0, 2, 4))
    assert f"fill: {COLOURS[0].lower()}" in measured
    assert f"fill: {GROUND}" in printed
    assert f"stroke: {COLOURS[0].lower()}" in printed
    assert f"fill: {COLOURS[1].lower()}" in other
    paths = {node.getAttribute("id"): node.getAttribute("d") for node in elements(text, "path")}
    shapes = [paths[marker(text, number).getAttribute("xlink:href")[1:]] for number in range(6)]
    assert shapes[0] == shapes[1] == shapes[2] == shapes[3] != shapes[4] == shapes[5]


def test_series_differ_without_colour() -> None:
    many = tuple(Series(f"s{n}", (Point(n, n, ""), Point(n + 1, n, "")), line=True) for n in range(60))
    lines = [line for line in draw(small(series=many)).axes[0].lines if line.get_linestyle() != "None"]
    looks = {(line.get_color(), str(line.get_linestyle()), str(line._unscaled_dash_pattern)) for line in lines}  # type: ignore[attr-defined]
    assert len(looks) == len(COLOURS) * len(DASHES)
    greyless = {(number % len(MARKERS), number % len(DASHES)) for number in range(len(MARKERS))}
    assert len(greyless) == len(MARKERS)
    for two in range(len(COLOURS)):
        assert COLOURS[two] not in COLOURS[:two]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_first_colours_stand_out_from_white_paper() -> None:
    contrasts = [1.05 / (luminance(colour) + 0.05) for colour in COLOURS]
    assert min(contrasts[:3]) > 3
    assert min(contrasts) > 2


def test_inline_svg_leaves_the_page_alone() -> None:
    text = svg(small(), inline=True)
    assert text.startswith("<svg ")
    assert not re.search(r"<\?|<!|<style|style=|<metadata|<script", text)
    (root,) = elements(text, "svg")
    assert not root.hasAttribute("width")
    assert root.getAttribute("aria-label") == "Small"
    assert "Small" not in texts(text)
    assert "bars: all there is" not in texts(text)
    every = [node for node in elements(text, "*") if node.hasAttribute("id")]
    ids = [node.getAttribute("id") for node in every]
    assert len(set(ids)) == len(ids)
    assert all(id.startswith("small-top1-") for id in ids)
    pointed = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert set(pointed) <= set(ids)


def test_inline_svg_takes_the_colours_of_the_page() -> None:
    text = svg(small(), inline=True)
    assert INK not in text
    assert BLACK not in text
    assert {node.getAttribute("fill") for node in elements(text, "text")} == {"currentColor"}
    assert marker(text, 2).getAttribute("fill") == "var(--ground, Canvas)"
    ground = elements(text, "path")[0]
    assert ground.getAttribute("fill") == "none"


@pytest.mark.parametrize("nasty", NASTY)
def test_hostile_text_is_text(nasty: str) -> None:
    point = Point(1, 2, nasty, tag=nasty)
    plot = small(title=nasty, x_label=nasty, y_label=nasty, notes=(nasty,), series=(Series(nasty, (point,)),))
    for inline in (False, True):
        text = svg(plot, inline)
        assert not elements(text, "script")
        assert all(one.isprintable() or one == "\n" for one in text)
        plain = [one for one in texts(text) if not re.fullmatch(r"[−\d.]*", one)]
        assert len(set(plain)) == 1
    if nasty.isprintable():
        assert plain[0] == nasty


def test_a_line_break_in_the_middle_of_a_long_name_loses_nothing() -> None:
    name = " ".join(f"part{number}" for number in range(40))
    found = " ".join(texts(svg(small(series=(Series(name, (Point(1, 2, ""),)),)))))
    assert all(part in found for part in name.split())


def test_pdf_is_of_vectors_and_its_fonts_are_true_type() -> None:
    content = pdf(small())
    assert b"/FontFile2" in content
    assert b"/CIDFontType2" in content
    assert b"/Subtype /Image" not in content
    assert not re.search(rb"/Type3|CreationDate", content)
    streams = re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL)
    assert any(b" l\n" in zlib.decompressobj().decompress(stream) for stream in streams if stream[:1] == b"x")


def test_the_same_plot_gives_the_same_bytes() -> None:
    assert pdf(small()) == pdf(small())
    assert svg(small()) == svg(small())
    assert svg(small(), inline=True) == svg(small(), inline=True)
    assert "dc:date" not in svg(small())


def test_nothing_of_the_callers_matplotlib_is_used_or_altered() -> None:
    before = svg(small())
    with matplotlib.rc_context({"font.size": 30, "text.usetex": True, "axes.facecolor": "red", "svg.fonttype": "path"}):
        names = [name for name in matplotlib.rcParams if name != "backend"]  # to ask for that loads pyplot
        chosen = [matplotlib.rcParams[name] for name in names]
        assert svg(small()) == before
        assert [matplotlib.rcParams[name] for name in names] == chosen
    assert "matplotlib.pyplot" not in sys.modules


def test_no_warning_reaches_the_user() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdf(small(title=NASTY[0], x_label=NASTY[2], series=(Series("𒀀", (Point(1, 1, ""),)),)))


@pytest.mark.parametrize("count", [1, 12, 40])
def test_the_legend_and_the_notes_stand_below_the_axes(count: int) -> None:
    series = tuple(Series(f"a series with a long name, number {n}", (Point(n, n, ""),)) for n in range(count))
    with matplotlib.rc_context(STYLE):
        figure = draw(small(series=series, notes=("a note of some length " * 10,) * 3))
        figure.draw_without_rendering()
        renderer = figure._get_renderer()  # type: ignore[attr-defined]
        axes = figure.axes[0].get_tightbbox(renderer)
        legend, notes = figure.legends[0].get_window_extent(renderer), figure.texts[0].get_window_extent(renderer)
    assert axes
    assert axes.y0 >= legend.y1
    assert legend.y0 >= notes.y1
    assert notes.y0 >= 0
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1
    assert notes.x1 <= figure.bbox.x1
    assert axes.height > 0.85 * 3.4 * figure.dpi


def test_tags_stand_where_they_hide_nothing() -> None:
    rows = tuple(Point(n % 5, n // 5, "", tag=f"r={n}", published=n % 2 == 0) for n in range(10))
    crowd = tuple(Point(2 + n / 1000, 0.5, "", tag="lost in the crowd") for n in range(6))
    with matplotlib.rc_context(STYLE):
        figure = draw(small(series=(Series("rows", rows), Series("crowd", crowd), Series("again", rows[:2]))))
        figure.draw_without_rendering()
        renderer = figure._get_renderer()  # type: ignore[attr-defined]
        axes = figure.axes[0]
        tags = {text.get_window_extent(renderer): text.get_text() for text in axes.texts}
        marks = [line.get_window_extent(renderer).padded(2) for line in axes.lines if line.get_gid()]
    assert set(tags.values()) == {*(f"r={n}" for n in range(10)), "lost in the crowd"}
    assert 10 < len(tags) < 16
    boxes = list(tags)
    for number, box in enumerate(boxes):
        assert axes.bbox.x0 <= box.x0 <= box.x1 <= axes.bbox.x1
        assert axes.bbox.y0 <= box.y0 <= box.y1 <= axes.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[:number] + marks)


def test_doubtful_and_inferred_points_are_marked_where_there_is_room_for_no_more() -> None:
    wide = "a tag that no plot has room for " * 10
    points = (
        Point(1, 1, "one", tag="r=8", doubts=("odd", "strange")),
        Point(2, 2, "two", tag=wide, doubts=("odd",)),
        Point(3, 1, "three", tag="r=9", inferred="r is not in the paper", published=True),
    )
    plot = small(series=(Series("s", points),))
    assert [text.get_text() for text in draw(plot).axes[0].texts] == ["r=8 !", "!", "r=9 †"]
    assert [tip["text"].partition("; GFLOPs")[0] for tip in tips(plot).values()] == [
        "one (odd; strange)",
        "two (odd)",
        "three († inferred: r is not in the paper)",
    ]
    assert marked_notes(points) == [
        "! one; two: odd",
        "! one: strange",
        "† three: inferred, r is not in the paper",
    ]
    many = [Point(n, n, str(n), doubts=("odd",)) for n in range(4)]
    assert marked_notes(many) == ["! 4 points: odd"]


def test_a_curve_has_no_markers_and_no_tips() -> None:
    curve = Series("loss", tuple(Point(n, 1 / (n + 1), "") for n in range(400)), line=True, markers=False)
    plot = small(series=(curve, Series("end", (Point(400, 0, "end"),))))
    assert list(tips(plot)) == ["small-top1-point-0"]
    assert svg(plot, inline=True).count("-point-") == 1


def test_a_thousand_points_make_a_small_file() -> None:
    plot = small(series=(Series("many", tuple(Point(n, n % 7, str(n), y_low=0, y_high=7) for n in range(1000))),))
    text = svg(plot, inline=True)
    assert text.count("-point-") == 1000
    assert len(text) < 10**6


def test_files(tmp_path: Path) -> None:
    files = write_plots([small(), small(name="other")], tmp_path / "new" / "plots")
    assert [file.name for file in files] == ["small-top1.pdf", "small-top1.svg", "other.pdf", "other.svg"]
    assert sorted(files) == sorted((tmp_path / "new" / "plots").iterdir())
    assert files[0].read_bytes() == pdf(small())
    assert files[1].read_text(encoding="utf-8") == svg(small())
    plain, folder = tmp_path / "file", tmp_path / "folder"
    plain.touch()
    folder.mkdir()
    assert {file.stat().st_mode for file in files} == {plain.stat().st_mode}  # as open as the user has files
    assert (tmp_path / "new" / "plots").stat().st_mode == folder.stat().st_mode
    with pytest.raises(ValueError, match=r"^cannot write plots into .*file: it is not a folder$"):
        write_plots([small()], plain)
    with pytest.raises(ValueError, match=r"^cannot write plots into .*file/plots: Not a directory$"):
        write_plots([small()], plain / "plots")


@pytest.mark.parametrize("name", ["", "../up", "a b", "a/b", "1a", 'a"'])
def test_a_plots_name_is_good_for_files_and_ids(name: str) -> None:
    with pytest.raises(AssertionError):
        small(name=name)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e12, 1e12)] * 2), min_size=1, max_size=5), st.booleans())
def test_any_numbers_can_be_drawn(values: list[tuple[float, float]], diagonal: bool) -> None:
    points = tuple(Point(x, y, "p", x_low=x - 1, x_high=x, y_low=y, y_high=y) for x, y in values)
    text = svg(small(series=(Series("s", points, line=True),), diagonal=diagonal), inline=True)
    assert len([one for one in elements(text, "g") if "-point-" in one.getAttribute("id")]) == len(values)
