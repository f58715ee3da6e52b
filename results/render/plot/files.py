"""Plots as SVG and PDF; matplotlib is loaded when the first is drawn."""

from collections.abc import Sequence
from pathlib import Path

from results.files import private_folder, replacing
from results.render.plot.data import Plot


def svg(plot: Plot, inline: bool = False) -> str:
    """The plot as SVG, its text as text; the same plot gives the same text.

    `inline` is for an HTML page: no XML head, title or notes, a transparent ground, text and axes in the colour of the
    text around it, no style sheet, and all ids begin with the plot's name.
    """
    from results.render.plot.figure import saved
    from results.render.plot.inline import inlined

    text = saved(plot, "svg", bare=inline).decode()
    return inlined(text, plot) if inline else text


def pdf(plot: Plot) -> bytes:
    """The plot as a PDF of vectors, its fonts embedded as TrueType; the same plot gives the same bytes."""
    from results.render.plot.figure import saved

    return saved(plot, "pdf")


def write_plots(plots: Sequence[Plot], folder: Path) -> list[Path]:
    """Write each plot as NAME.pdf and NAME.svg into `folder`, which is made where it is missing; return the files.

    OSError where that cannot be.
    """
    private_folder(folder)
    files = []
    for plot in plots:
        for ending, content in (("pdf", pdf(plot)), ("svg", svg(plot).encode())):
            path = folder / f"{plot.name}.{ending}"
            with replacing(path) as temporary:
                temporary.write_bytes(content)
            files.append(path)
    return files
