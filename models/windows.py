"""The windows of a Video Swin Transformer: which positions of a grid see each other, as whole numbers."""

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

Grid = tuple[int, int, int]
"""Slots, rows and columns."""


@dataclass(frozen=True)
class Windows:
    """A grid cut into W windows of P positions each, those that see the same of each other one behind the other."""

    order: np.ndarray
    """(W, P) the position of the grid, slot by slot and row by row, at each place of the windows; the number of
    positions where a place is padding."""
    groups: tuple[tuple[int, int, np.ndarray | None], ...]
    """From which window to which, and (P, P) bool which positions see each other there; None: all do."""
    place: np.ndarray
    """(positions,) of each position of the grid its place in the flat `order`."""


def fitting(grid: Grid, window: Grid, shifted: bool) -> tuple[Grid, Grid]:
    """The sides of the windows on a grid, and by how much they are shifted: half a side, but not along an axis that one
    window covers."""
    sides = tuple(min(length, most) for length, most in zip(grid, window, strict=True))
    halves = (side // 2 if shifted and length > side else 0 for length, side in zip(grid, sides, strict=True))
    return sides, tuple(halves)  # type: ignore[return-value]


@cache
def windows(grid: Grid, window: Grid, shifted: bool) -> Windows:
    """The windows of a block; grids are padded at the far ends to whole windows.

    Tokens of a shifted window see each other only where both or neither wrapped around, along each axis.
    """
    sides, shift = fitting(grid, window, shifted)
    whole = tuple(-(-length // side) * side for length, side in zip(grid, sides, strict=True))
    count = grid[0] * grid[1] * grid[2]
    positions = np.full(whole, count)
    positions[: grid[0], : grid[1], : grid[2]] = np.arange(count).reshape(grid)
    cut = _cut(np.roll(positions, tuple(-step for step in shift), (0, 1, 2)), sides)
    # Of each axis whether a place holds what wrapped around; in which only the last windows differ within themselves.
    wrapped = np.zeros(whole, int)
    for axis, step in enumerate(shift):
        at = np.arange(whole[axis]) >= whole[axis] - step if step else np.zeros(whole[axis], bool)
        wrapped += at.reshape([-1 if axis == k else 1 for k in range(3)]) << axis
    regions = _cut(wrapped, sides)
    last = [np.arange(length // side) == length // side - 1 for length, side in zip(whole, sides, strict=True)]
    kinds = np.array([sum((on and step > 0) << k for k, (on, step) in enumerate(zip(one, shift, strict=True)))
                      for one in product(*last)])  # fmt: skip
    sort = np.argsort(kinds, kind="stable")
    order, regions, kinds = cut[sort], regions[sort], kinds[sort]
    groups = []
    for kind in np.unique(kinds):
        first, end = (int(np.searchsorted(kinds, kind, side)) for side in ("left", "right"))
        region = regions[first]
        groups.append((first, end, region[:, None] == region[None, :] if kind else None))
    place = np.zeros(count + 1, int)
    place[order.ravel()] = np.arange(order.size)
    return Windows(order, tuple(groups), place[:count])


@cache
def relative_positions(window: Grid) -> np.ndarray:
    """(P, P) for two positions of a whole window the row of the table of biases."""
    places = np.stack(np.meshgrid(*map(np.arange, window), indexing="ij")).reshape(3, -1)
    apart = places[:, :, None] - places[:, None, :] + (np.array(window) - 1)[:, None, None]
    return (apart[0] * (2 * window[1] - 1) + apart[1]) * (2 * window[2] - 1) + apart[2]


@cache
def _distances(side: int) -> np.ndarray:
    rows, columns = np.divmod(np.arange(side**2), side)
    return (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2


@cache
def nearness(side: int) -> np.ndarray:
    """(N, N) for two positions of a slot's grid a number that orders the second ones by distance from the first, of
    equals the lowest position first: squared distance · N + position."""
    return _distances(side) * side**2 + np.arange(side**2)


def _cut(values: np.ndarray, sides: Grid) -> np.ndarray:
    """A grid (T, H, W) of whole windows → (windows, positions)."""
    (t, h, w), (a, b, c) = values.shape, sides
    return values.reshape(t // a, a, h // b, b, w // c, c).transpose(0, 2, 4, 1, 3, 5).reshape(-1, a * b * c)
