"""Plots drawn with matplotlib: colours that colour-blind readers tell apart, and markers and line styles that tell the
series apart in grey. Nothing of the caller's matplotlib is used or altered."""

import io
import itertools
import textwrap
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from results.render.grid import printable
from results.render.plot.data import Plot, Point, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#1a1a1a"
"""Of text and axes."""
GROUND = "#fffffe"
"""Inside hollow markers."""
BLACK = "#000000"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", BLACK, "#E69F00", "#56B4E9")
"""Okabe and Ito's, without the yellow that white paper swallows; those that stand out most come first."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (9, 2)))
"""As many as go into the number of neither colours nor markers: 7 × 10 × 5 series before two look the same."""
Box = tuple[float, float, float, float]
"""Left, low, right, high, in points of the figure."""
CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
"""Where a tag may stand: right or left of its marker, above or below it."""
TAGGED = 60
"""Where there are more points, none has its tag."""
WIDTH, AXES, MARGIN = 6.4, 3.4, 0.08
"""Inches; AXES is the height with ticks and labels, without title, legend and notes."""
TITLE, TEXT, LEGEND, SMALL = 10, 9, 8, 7
"""Points."""
SPACING = 1.3
"""Of lines, in heights of their letters."""
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],  # the first comes with matplotlib
    "font.size": TEXT,
    "axes.titlesize": TITLE,
    "legend.fontsize": LEGEND,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.xmargin": 0.06,
    "axes.ymargin": 0.06,
    "svg.fonttype": "none",
    "svg.hashsalt": "video-token-harness",
    "pdf.fonttype": 42,
}


def saved(plot: Plot, format: str, bare: bool = False) -> bytes:
    """The plot as a file of `format`: svg, pdf, or png to look at; without title, notes and ground where `bare`."""
    file = io.BytesIO()
    date = {"svg": "Date", "pdf": "CreationDate"}.get(format)
    with warnings.catch_warnings(), matplotlib.rc_context():
        # That a font lacks a letter of a file's name is no reason to bother anyone.
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = draw(plot, bare)
        figure.savefig(file, format=format, transparent=bare, metadata={date: None} if date else None)
    return file.getvalue()


def draw(plot: Plot, bare: bool = False) -> Figure:
    """The plot as a figure: title, axes, and below them legend and notes, for which the figure grows."""
    names = [textwrap.fill(printable(series.name), 96) for series in _shown(plot)]
    names += ["speed-up = FLOPs ratio"] * plot.diagonal
    longest = max(len(line) for name in names for line in name.splitlines())
    columns = min(max(1, 100 // (longest + 10)), len(names), 4)
    rows = -(-sum(1 + name.count("\n") for name in names) // columns)
    notes = [] if bare else [line for note in plot.notes for line in textwrap.wrap(printable(note), 112)]
    title = "" if bare else textwrap.fill(printable(plot.title), 78)
    below = (len(notes) * SMALL * SPACING + rows * LEGEND * 1.6 + 12) / 72
    height = AXES + (1 + title.count("\n")) * TITLE * SPACING / 72 * bool(title) + below
    figure = Figure((WIDTH, height))
    engine = ConstrainedLayoutEngine(rect=(0, below / height, 1, 1 - below / height), w_pad=MARGIN, h_pad=MARGIN)
    figure.set_layout_engine(engine)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left")
    axes.set_xlabel(printable(plot.x_label))
    axes.set_ylabel(printable(plot.y_label))
    axes.grid(color=INK, alpha=0.15, linewidth=0.6)
    handles = _series(axes, plot)
    if plot.diagonal:
        line = axes.axline((1, 1), slope=1, color=INK, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
        axes.update_datalim([(1, 1)])
        handles.append(line)
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, below / height), "borderaxespad": 0}
    figure.legend(handles, names, **place, ncols=columns, frameon=False, handlelength=3.2)
    axes.autoscale_view()
    text: dict[str, Any] = {"fontsize": SMALL, "verticalalignment": "bottom", "linespacing": SPACING}
    figure.text(MARGIN / WIDTH, MARGIN / 2 / height, "\n".join(notes), **text)
    _tag(axes, plot)
    return figure


def _shown(plot: Plot) -> list[Series]:
    return [series for series in plot.series if series.points]


def _series(axes: "Axes", plot: Plot) -> list[Any]:
    """Draw the series; what stands for each in the legend."""
    looks: dict[str, int] = {}
    fresh = itertools.count()
    ids = (id for id, _, _ in plot.marked())
    handles: list[Any] = []
    for series in _shown(plot):
        look = looks[series.name] = looks[series.beside] if series.beside in looks else next(fresh)
        colour, hollow = COLOURS[look % len(COLOURS)], all(point.published for point in series.points)
        line: dict[str, Any] = {"color": colour, "linestyle": "none", "linewidth": 0.8 if hollow else 1.2}
        if series.line:
            line["linestyle"] = DASHES[look % len(DASHES)]
        mark: dict[str, Any] = {"marker": MARKERS[look % len(MARKERS)], "markersize": 5.5, "markeredgewidth": 1.2}
        axes.add_line(Line2D(*_along(series.points), **line, zorder=2))
        _bars(axes, series, colour)
        if series.markers and plot.crowded:
            dots = mark | {"linestyle": "none", "markersize": 2, "markerfacecolor": GROUND if hollow else colour}
            axes.add_line(Line2D(*_along(series.points), color=colour, **dots, zorder=4))
        for point in series.points if series.markers and not plot.crowded else ():
            face = GROUND if point.published else colour
            one = Line2D([point.x], [point.y], linestyle="none", color=colour, **mark, markerfacecolor=face, zorder=4)
            one.set_gid(next(ids))
            one.set_in_layout(False)
            axes.add_line(one)
        mark["markerfacecolor"] = GROUND if hollow else colour
        handles.append(Line2D([], [], **line, **(mark if series.markers else {})))
    return handles


def _bars(axes: "Axes", series: Series, colour: str) -> None:
    """Error bars, where both ends are known."""
    style: dict[str, Any] = {"fmt": "none", "ecolor": colour, "elinewidth": 0.9, "capsize": 2.5, "alpha": 0.6}
    for along in ("x", "y"):
        found = [
            (point.x, point.y, getattr(point, along) - low, high - getattr(point, along))
            for point in series.points
            if (low := getattr(point, f"{along}_low")) is not None
            and (high := getattr(point, f"{along}_high")) is not None
        ]
        if found:
            xs, ys, below, above = zip(*found, strict=True)
            axes.errorbar(xs, ys, zorder=3, **style | {f"{along}err": (below, above)})


def _tag(axes: "Axes", plot: Plot) -> None:
    """Write the points' tags beside their markers, where they meet no marker, no other tag and no edge; the measured
    ones first, as room gets scarce."""
    points = dict.fromkeys(point for _, _, point in plot.marked())  # one that is of several series is tagged once
    marked = sorted(points, key=lambda point: point.published)
    if not any(point.tag or point.marks for point in marked) or len(marked) > TAGGED:
        return
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # only then are the places known
    scale = 72 / axes.figure.dpi
    places = [tuple(float(at) * scale for at in axes.transData.transform((point.x, point.y))) for point in marked]
    edges = [float(at) * scale for at in axes.bbox.extents]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    for point, (x, y) in zip(marked, places, strict=True):
        tag = printable(f"{point.tag} {point.marks}".strip())
        # Where a tag has no room, its mark may.
        for text, (right, up) in itertools.product(dict.fromkeys([tag, point.marks]), CORNERS):
            wide = 0.62 * SMALL * len(text)
            left, low = x + 5 * right - wide * (right < 0), y + 3 * up - SMALL * (up < 0)
            box = (left, low, left + wide, low + SMALL)
            inside = edges[0] < box[0] and edges[1] < box[1] and box[2] < edges[2] and box[3] < edges[3]
            if text and inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                align: dict[str, Any] = {"ha": "left" if right > 0 else "right", "va": "bottom" if up > 0 else "top"}
                place: dict[str, Any] = {"xytext": (5 * right, 3 * up), "textcoords": "offset points"}
                axes.annotate(text, (point.x, point.y), fontsize=SMALL, **align, **place).set_in_layout(False)
                break


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _along(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.x for point in points], [point.y for point in points]
