"""The training samples in order: the same sequence for any number of processes, and again after any restart.

An epoch is a random order of the videos. Micro-batch by micro-batch all processes together take the next readable
videos of it, and each decodes its own share. A video that turns out broken is named to all of them, the videos after it
move up, and no process falls out of step. Where an epoch's order runs out early, it begins again with other copies.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from jobs.data.decoding.faults import Unreadable
from jobs.data.labels import Item
from jobs.data.pool import DecodePool
from jobs.data.samples import SampleRequest, Samples
from jobs.node.gang import Gang


@dataclass(frozen=True)
class Epoch:
    """A pass over the videos."""

    number: int
    """Counted from 0 through the whole recipe."""
    frames: int
    """Frames of a clip."""
    steps: int
    """Optimiser steps."""


@dataclass(frozen=True)
class Order:
    """What decides which samples make a step."""

    seed: int
    repeats: int
    """Augmented copies of a video."""
    micro_batch: int
    """Videos of a process in a micro-batch."""
    accumulation: int
    """Micro-batches in a step."""
    ahead: int
    """Videos that a process has decoded, or is decoding, beyond those of the present micro-batch."""


@dataclass
class Place:
    """How far a training has come: plain numbers that a restart begins with."""

    epoch: int = 0
    """Position in the list of epochs."""
    step: int = 0
    """Steps of that epoch already done."""
    taken: int = 0
    """Places of that epoch's order already passed, broken videos included."""
    broken: dict[int, str] = field(default_factory=dict)
    """The videos that could not be read so far, by index, and why."""


@dataclass(frozen=True)
class MicroBatch:
    """One process's share of a micro-batch: `clips` (B, T, side, side, 3) uint8, copies of a video side by side."""

    clips: np.ndarray
    branches: np.ndarray
    """(B, 2 · depth) uniform numbers for stochastic depth."""
    labels: np.ndarray
    """(B,)"""


@dataclass(frozen=True)
class _Cursor:
    """Before a micro-batch: position in the list of epochs, micro-batches and places of the epoch behind it."""

    epoch: int
    micro: int
    taken: int


class SampleStream:
    """Yields this process's micro-batches from `place` on, and moves `place` along at every whole step."""

    def __init__(
        self,
        items: Sequence[Item],
        epochs: Sequence[Epoch],
        place: Place,
        gang: Gang,
        pool: DecodePool[SampleRequest, Samples],
        request: Callable[[int, tuple[tuple[int, ...], ...]], SampleRequest],
        order: Order,
        accept: Callable[[dict[int, str]], None],
    ) -> None:
        """`request` makes what a decoder is asked for of a clip's frames and the seeds of its copies; `accept` raises
        if there are too many broken videos."""
        self.items, self.epochs, self.place, self.gang = items, epochs, place, gang
        self._pool, self._request, self._order, self._accept = pool, request, order, accept
        self._futures: dict[tuple[int, int], Future[Samples | Unreadable]] = {}
        self._permutation = cache(self._permute)

    def step(self) -> Iterator[MicroBatch]:
        """The micro-batches of this process for the next optimiser step, to be used up in every process alike."""
        place = self.place
        cursor = _Cursor(place.epoch, place.step * self._order.accumulation, place.taken)
        for _ in range(self._order.accumulation):
            batch, cursor = self._together(cursor)
            self._look_ahead(cursor)
            yield batch
        place.epoch, place.step, place.taken = cursor.epoch, cursor.micro // self._order.accumulation, cursor.taken

    def _together(self, cursor: _Cursor) -> tuple[MicroBatch, _Cursor]:
        """This process's share of the next micro-batch of all, once every video in it is readable."""
        size, rank = self._order.micro_batch, self.gang.rank
        while True:
            window, after = self._next(cursor)
            mine = window[rank * size : (rank + 1) * size]
            found = [self._future(cursor.epoch, taken).result() for taken in mine]
            flags = np.zeros(len(window), bool)
            flags[rank * size : (rank + 1) * size] = [isinstance(one, Unreadable) for one in found]
            if not self.gang.agree(flags).any():
                break
            reasons = {
                self._video(cursor.epoch, taken): str(one)
                for taken, one in zip(mine, found, strict=True)
                if isinstance(one, Unreadable)
            }
            for named in self.gang.gather(reasons):
                self.place.broken |= named
            self._accept(self.place.broken)
        for key in [key for key in self._futures if key[0] < cursor.epoch or key <= (cursor.epoch, window[-1])]:
            del self._futures[key]
        samples = [one for one in found if isinstance(one, Samples)]
        labels = [self.items[self._video(cursor.epoch, taken)].label for taken in mine]
        return (
            MicroBatch(
                np.concatenate([one.clips for one in samples]),
                np.concatenate([one.branches for one in samples]),
                np.repeat(labels, [len(one.clips) for one in samples]),
            ),
            after,
        )

    def _look_ahead(self, cursor: _Cursor) -> None:
        """Have the next samples of this process decoded in the background, as if no further video were broken."""
        size, rank, asked = self._order.micro_batch, self.gang.rank, 0
        while asked < max(self._order.ahead, size) and cursor.epoch < len(self.epochs):
            epoch = cursor.epoch
            window, cursor = self._next(cursor)
            for taken in window[rank * size : (rank + 1) * size]:
                self._future(epoch, taken)
                asked += 1

    def _next(self, cursor: _Cursor) -> tuple[list[int], _Cursor]:
        """The places of the next micro-batch of all processes, and the cursor after it."""
        window: list[int] = []
        taken = cursor.taken
        while len(window) < self.gang.processes * self._order.micro_batch:
            if self._video(cursor.epoch, taken) not in self.place.broken:
                window.append(taken)
            taken += 1
        micro = cursor.micro + 1
        if micro == self.epochs[cursor.epoch].steps * self._order.accumulation:
            return window, _Cursor(cursor.epoch + 1, 0, 0)
        return window, _Cursor(cursor.epoch, micro, taken)

    def _future(self, epoch: int, taken: int) -> "Future[Samples | Unreadable]":
        if (epoch, taken) not in self._futures:
            video, repeats = self._video(epoch, taken), self._order.repeats
            first = taken // len(self.items) * repeats
            number = self.epochs[epoch].number
            seeds = tuple((self._order.seed, number, video, first + copy) for copy in range(repeats))
            request = self._request(self.epochs[epoch].frames, seeds)
            self._futures[epoch, taken] = self._pool.submit(self.items[video].file, request)
        return self._futures[epoch, taken]

    def _video(self, epoch: int, taken: int) -> int:
        return int(self._permutation(self.epochs[epoch].number)[taken % len(self.items)])

    def _permute(self, number: int) -> np.ndarray:
        return np.random.default_rng((self._order.seed, number)).permutation(len(self.items))
