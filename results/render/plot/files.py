"""Plots as SVG and PDF; matplotlib is loaded when the first is drawn."""

from collections.abc import Sequence
from pathlib import Path

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

    They are to be shown to others, and as open as the user's files are. ValueError where that cannot be.
    """
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for plot in plots:
            for ending, content in (("pdf", pdf(plot)), ("svg", svg(plot).encode())):
                path = folder / f"{plot.name}.{ending}"
                path.write_bytes(content)
                files.append(path)
    except OSError as error:
        reason = "it is not a folder" if folder.exists() and not folder.is_dir() else error.strerror
        raise ValueError(f"cannot write plots into {folder}: {reason}") from None
    return files
