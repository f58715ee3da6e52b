"""Maps look alike on the page and in the files for print."""

import re

import matplotlib
import pytest

from jobs.figures.clip_data import LEVELS
from jobs.figures.drawing import ABSENT, COLOURS
from results.render.page import FOLDER
from results.render.page.drawable import HIGHEST


def test_the_page_colours_maps_as_the_figures_for_print() -> None:
    script = (FOLDER / "tokens.js").read_text(encoding="utf-8")
    numbers = {name: float(number) for name, number in re.findall(r"^const (\w+) = ([\d.]+);", script, re.MULTILINE)}
    assert (numbers["ABSENT"], numbers["HIGHEST"]) == (ABSENT, LEVELS)
    assert HIGHEST == LEVELS
    listed = re.search(rf'const {COLOURS.upper()} = "([\da-f ]+)"', script)
    assert listed
    found = [tuple(bytes.fromhex(colour)) for colour in listed[1].split()]
    places = [number / (len(found) - 1) for number in range(len(found))]
    for place, colour in zip(places, found, strict=True):
        wanted = [255 * part for part in matplotlib.colormaps[COLOURS](place)[:3]]
        assert colour == pytest.approx(wanted, abs=1)
