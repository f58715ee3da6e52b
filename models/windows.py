"""The windows of a Video Swin Transformer: which positions of a grid see each other. Computed once a device."""

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import torch
from torch import Tensor

Grid = tuple[int, int, int]
"""Slots, rows and columns."""


@dataclass(frozen=True)
class Windows:
    """A grid cut into W windows of P places each, those that see the same of each other one behind the other."""

    order: Tensor
    """(W, P) the position of the grid, slot by slot and row by row, at each place of the windows; the number of
    positions where a place is padding."""
    padded: bool
    """Whether there is padding."""
    groups: tuple[tuple[int, int, Tensor | None], ...]
    """From which window to which, and (P, P) bool which places do not see each other there; None: all do."""
    place: Tensor
    """(positions,) of each position of the grid its place in the flat `order`."""


def fitting(grid: Grid, window: Grid, shifted: bool) -> tuple[list[int], list[int]]:
    """The sides of the windows on a grid, and by how much they are shifted: half a side, but not along an axis that one
    window covers."""
    sides = [min(length, most) for length, most in zip(grid, window, strict=True)]
    return sides, [side // 2 if shifted and length > side else 0 for length, side in zip(grid, sides, strict=True)]


@cache
def windows(grid: Grid, window: Grid, shifted: bool, device: torch.device) -> Windows:
    """The windows of a block; grids are padded at the far ends to whole windows.

    Tokens of a shifted window see each other only where both or neither wrapped around, along each axis.
    """
    sides, shift = fitting(grid, window, shifted)
    whole = [-(-length // side) * side for length, side in zip(grid, sides, strict=True)]
    count = grid[0] * grid[1] * grid[2]
    positions = np.full(whole, count)
    positions[: grid[0], : grid[1], : grid[2]] = np.arange(count).reshape(grid)
    order = _cut(np.roll(positions, [-step for step in shift], (0, 1, 2)), sides)
    # Along a shifted axis the last windows hold what wrapped around, beside what did not.
    wrapped = np.zeros(whole, int)
    for axis, step in enumerate(shift):
        np.moveaxis(wrapped, axis, 0)[whole[axis] - step :] += 1 << axis
    regions = _cut(wrapped, sides)
    kinds = regions.max(1)
    sort = np.argsort(kinds, kind="stable")
    order, regions, kinds = order[sort], regions[sort], kinds[sort]
    groups = []
    for kind in np.unique(kinds):
        first, end = np.flatnonzero(kinds == kind)[[0, -1]]
        apart = regions[first][:, None] != regions[first][None, :]
        groups.append((int(first), int(end) + 1, _tensor(apart, device) if kind else None))
    place = np.zeros(count + 1, int)
    place[order.ravel()] = np.arange(order.size)
    return Windows(_tensor(order, device), bool((order == count).any()), tuple(groups), _tensor(place[:count], device))


@cache
def relative_positions(window: Grid, device: torch.device) -> Tensor:
    """(P, P) for two places of a whole window the row of the table of biases."""
    places = np.array(list(product(*map(range, window)))).T
    apart = places[:, :, None] - places[:, None, :] + (np.array(window) - 1)[:, None, None]
    return _tensor((apart[0] * (2 * window[1] - 1) + apart[1]) * (2 * window[2] - 1) + apart[2], device)


@cache
def nearness(side: int, device: torch.device) -> Tensor:
    """(N, N) for two positions of a slot's grid a number that orders the second ones by distance from the first, of
    equals the lowest position first: squared distance · N + position."""
    rows, columns = np.divmod(np.arange(side**2), side)
    apart = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    return _tensor(apart * side**2 + np.arange(side**2), device)


def _cut(values: np.ndarray, sides: list[int]) -> np.ndarray:
    """A grid (T, H, W) of whole windows → (windows, places)."""
    (t, h, w), (a, b, c) = values.shape, sides
    return values.reshape(t // a, a, h // b, b, w // c, c).transpose(0, 2, 4, 1, 3, 5).reshape(-1, a * b * c)


def _tensor(values: np.ndarray, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # what is kept here serves trainings too
        return torch.from_numpy(values).to(device)
