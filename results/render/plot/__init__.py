"""Plots of measured values beside published ones: as data, and as SVG and PDF."""

from results.render.plot.data import Plot as Plot
from results.render.plot.data import Point as Point
from results.render.plot.data import Series as Series
from results.render.plot.data import marked_notes as marked_notes
from results.render.plot.data import tips as tips
from results.render.plot.data import without_bars as without_bars
from results.render.plot.files import pdf as pdf
from results.render.plot.files import svg as svg
from results.render.plot.files import write_plots as write_plots
