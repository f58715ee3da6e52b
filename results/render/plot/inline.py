"""A plot's SVG made part of an HTML page, whose colours it takes and whose style sheets and ids it leaves alone."""

import re
from typing import Any
from xml.dom import minidom

from results.render.grid import printable
from results.render.plot.data import Plot
from results.render.plot.figure import BLACK, GROUND, INK

PAGE = {INK: "currentColor", BLACK: "currentColor", GROUND: "var(--ground, Canvas)"}
"""What a page has instead of these colours."""


def inlined(text: str, plot: Plot) -> str:
    """`text`, an SVG as matplotlib writes it, as one element to put into a page."""
    root = minidom.parseString(text).documentElement
    assert root is not None
    for node in list(_nodes(root)):
        if node.nodeType == node.COMMENT_NODE or node.nodeName in ("metadata", "style"):
            node.parentNode.removeChild(node)
        elif node.nodeType == node.ELEMENT_NODE:
            _rewrite(node, plot.name)
    for name in ("width", "height", "version"):
        root.removeAttribute(name)
    attributes = {"stroke-linejoin": "round", "stroke-linecap": "butt", "role": "group"}
    for name, value in (attributes | {"aria-label": printable(plot.title)}).items():
        root.setAttribute(name, value)
    return str(root.toxml())


def _nodes(root: Any) -> list[Any]:
    found = [root]
    for node in root.childNodes:
        found += _nodes(node)
    return found


def _rewrite(node: Any, name: str) -> None:
    """Its ids and what points to them get the plot's name; its style becomes attributes, which a page's rules against
    styles in the text let pass."""
    for key, value in list(node.attributes.items()):
        if key == "id" and not value.startswith(f"{name}-point-"):
            node.setAttribute(key, f"{name}-{value}")
        elif value.startswith(("#", "url(#")) and key != "fill" and key != "stroke":
            node.setAttribute(key, value.replace("#", f"#{name}-", 1))
    for item in node.getAttribute("style").split(";"):
        key, _, value = (part.strip() for part in item.partition(":"))
        if key == "font":  # older versions of matplotlib have size and family in one
            key, value = "font-size", re.findall(r"[\d.]+px", value)[0]
        if key and key != "font-family":
            node.setAttribute(key, PAGE.get(value, value))
    if node.hasAttribute("style"):
        node.removeAttribute("style")
    if node.nodeName == "text":
        node.setAttribute("fill", node.getAttribute("fill") or "currentColor")
