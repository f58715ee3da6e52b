"""The report as one HTML page that needs nothing beside it: tables, plots, figures, and what is behind every value.

It is written by Jinja2 with autoescape; its script, which is part of it, writes text only. What the script adds (the
records behind the values, sorting, copying, moving through figures) is not needed to read tables, notes and plots.
"""

import base64
import hashlib
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.render.page.content import Figure as Figure
from results.render.page.content import Job as Job
from results.render.page.content import Log as Log
from results.render.page.content import Page as Page
from results.render.page.data import COPIED, payload
from results.render.page.facts import gather
from results.render.page.layout import LONG, lay_out_tables
from results.render.page.strip import across, cover, merged, said

if TYPE_CHECKING:
    from results.render.plot import Plot

FOLDER = Path(__file__).parent
SCRIPTS = ("base", "record", "samples", "dialog", "sort", "copy", "plots", "tokens", "live", "start")
"""The parts of the page's one script, in order."""
PORTRAIT = 100
"""Ems of the widest table whose text is of readable size on paper that stands upright."""
TALL = 40
"""Rows beyond which a table may be split across two sheets of paper."""
STATE = '<meta name="state" content="">'
"""Of a live page: the server inserts the digest that `/state` answers."""


def render_page(page: Page) -> str:
    """Return the page as HTML."""
    tables = lay_out_tables(page.views)
    plots, tips = _plots(page)
    text: str = _template().render(
        page=page,
        tables=tables,
        facts=gather(page, tables),
        plots=plots,
        formats=dict(zip(COPIED, ("Markdown", "LaTeX", "CSV"), strict=True)),
        data=payload(page, tips),
        policy=policy(page.live),
        portrait=PORTRAIT,
        tall=TALL,
        long=LONG,
        across=across,
        cover=cover,
        merged=merged,
        said=said,
        state=STATE if page.live else "",
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=_script(),
    )
    # Names of files may hold what is no character, which no page can.
    return re.sub("[\ud800-\udfff\x00]", "\N{REPLACEMENT CHARACTER}", text)


def policy(live: bool) -> str:
    """Return the Content-Security-Policy of the page: nothing is loaded, and no script runs but its own; a live page
    may ask its own server."""
    digest = base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode()
    rules = ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'"]
    rules += ["connect-src 'self'"] if live else []
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


@cache
def _script() -> str:
    parts = [(FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return "\n".join(['(() => {\n"use strict";', *parts, "})();"])


@cache
def _template() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(FOLDER, encoding="utf-8")
    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    return jinja2.Environment(loader=loader, autoescape=True, **options).get_template("page.html")


def _plots(page: Page) -> tuple[list[tuple["Plot", str]], dict[str, Any]]:
    """Each plot with its picture, and what its points say."""
    if not page.plots:
        return [], {}
    from results.render.plot import tips

    said: dict[str, Any] = {}
    for plot in page.plots:
        said |= tips(plot)
    return [(plot, _picture(plot)) for plot in page.plots], said


@lru_cache(maxsize=100)
def _picture(plot: "Plot") -> str:
    """A plot's SVG, kept: a served page is made again and again, and its plots change seldom."""
    from results.render.plot import svg

    return svg(plot, inline=True)
