"""The order of training samples, against a literal version, for any number of processes, with broken videos."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pytest

from jobs.data.decoding.faults import Unreadable
from jobs.data.labels import Item
from jobs.data.samples import SampleRequest, Samples
from jobs.data.stream import Epoch, Order, Place, SampleStream
from jobs.spec.sampling import sampling

VIDEOS = 11
ITEMS = [Item(index, f"v{index}", f"/v{index}", index % 3) for index in range(VIDEOS)]
EPOCHS = [Epoch(0, 4, 2), Epoch(1, 16, 2)]
BATCH = 4


@dataclass
class Shared:
    """What threads that play the processes of a gang have in common."""

    processes: int

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.processes)
        self.slots: list[Any] = [None] * self.processes


@dataclass
class ThreadGang:
    rank: int
    processes: int
    shared: Shared

    def gather(self, value: Any) -> list[Any]:
        self.shared.slots[self.rank] = value
        self.shared.barrier.wait(20)
        found = list(self.shared.slots)
        self.shared.barrier.wait(20)
        return found

    def agree(self, flags: Sequence[bool] | np.ndarray) -> np.ndarray:
        return np.any(self.gather(np.asarray(flags)), axis=0)


class Pool:
    """Answers at once: clips that say which video and copy they are, or that the video is broken."""

    def __init__(self, broken: Sequence[int] = ()) -> None:
        self.broken = broken
        self.asked: list[tuple[int, ...]] = []

    def submit(self, file: str, request: SampleRequest) -> "Future[Samples | Unreadable]":
        future: Future[Samples | Unreadable] = Future()
        self.asked.append(request.seeds[0])
        if int(file[2:]) in self.broken:
            future.set_result(Unreadable("torn"))
        else:
            clips = np.array([seed[1:] for seed in request.seeds])
            future.set_result(Samples(clips, np.zeros((len(clips), 2), np.float32)))
        return future


def request(frames: int, seeds: tuple[tuple[int, ...], ...]) -> SampleRequest:
    return SampleRequest(
        seeds=seeds, sampling=sampling("videomae", "kinetics", frames, 4), side=56, short_side=64, crop_scale=0.5,
        crop_ratio=1.2, randaugment="", flip=0.0, erasing=0.0, branches=2,
    )  # fmt: skip


def steps_of(
    processes: int, micro_batch: int, broken: Sequence[int] = (), place: Place | None = None, repeats: int = 2
) -> list[list[tuple[int, ...]]]:
    """Each step's samples (epoch, video, copy) of all processes together, in order of micro-batch and rank."""
    shared = Shared(processes)
    accumulation = BATCH // (processes * micro_batch)
    found: list[list[list[np.ndarray]]] = [[] for _ in range(processes)]
    places = [Place(**asdict(place or Place())) for _ in range(processes)]

    def play(rank: int) -> None:
        order = Order(7, repeats, micro_batch, accumulation, ahead=3)
        gang: Any = ThreadGang(rank, processes, shared)
        pool: Any = Pool(broken)
        stream = SampleStream(ITEMS, EPOCHS, places[rank], gang, pool, request, order, lambda broken: None)
        while places[rank].epoch < len(EPOCHS):
            batches = list(stream.step())
            assert all(len(batch.clips) == micro_batch * repeats == len(batch.branches) for batch in batches)
            for batch in batches:
                assert batch.labels.tolist() == [ITEMS[video].label for _, video, _ in batch.clips]
            found[rank].append([batch.clips for batch in batches])

    threads = [threading.Thread(target=play, args=(rank,)) for rank in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(one.broken.keys() <= set(broken) for one in places)
    return [
        [
            tuple(clip)
            for micro in range(accumulation)
            for rank in range(processes)
            for clip in found[rank][step][micro].tolist()
        ]
        for step in range(len(found[0]))
    ]


def literal(broken: Sequence[int] = (), repeats: int = 2) -> list[list[tuple[int, ...]]]:
    """The same, told as simply as can be."""
    steps = []
    for epoch in EPOCHS:
        order = np.random.default_rng((7, epoch.number)).permutation(VIDEOS).tolist()
        endless = [(video, turn) for turn in range(9) for video in order if video not in broken]
        for step in range(epoch.steps):
            chosen = endless[step * BATCH : (step + 1) * BATCH]
            steps.append(
                [(epoch.number, video, turn * repeats + copy) for video, turn in chosen for copy in range(repeats)]
            )
    return steps


LAYOUTS = [(1, 4), (1, 1), (2, 2), (2, 1), (4, 1)]


@pytest.mark.parametrize(("processes", "micro_batch"), LAYOUTS)
@pytest.mark.parametrize("broken", [(), (3,), (0, 2, 4, 5, 9), tuple(range(10))])
def test_any_layout_takes_the_readable_videos_in_order(
    processes: int, micro_batch: int, broken: tuple[int, ...]
) -> None:
    assert steps_of(processes, micro_batch, broken) == literal(broken)


def test_every_video_is_asked_for_once_where_none_is_broken() -> None:
    pool: Any = Pool()
    place = Place()
    gang: Any = ThreadGang(0, 1, Shared(1))
    stream = SampleStream(ITEMS, EPOCHS, place, gang, pool, request, Order(7, 1, 2, 2, 3), lambda broken: None)
    while place.epoch < len(EPOCHS):
        list(stream.step())
    assert len(pool.asked) == len(set(pool.asked)) == sum(epoch.steps for epoch in EPOCHS) * BATCH


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_restart_goes_on_where_the_first_run_stopped(steps: int) -> None:
    broken = (0, 5)
    pool: Any = Pool(broken)
    place = Place()
    gang: Any = ThreadGang(0, 1, Shared(1))
    stream = SampleStream(ITEMS, EPOCHS, place, gang, pool, request, Order(7, 2, 2, 2, 3), lambda broken: None)
    for _ in range(steps):
        list(stream.step())
    assert steps_of(2, 1, broken, place) == literal(broken)[steps:]


def test_too_many_broken_videos_are_the_callers_to_refuse() -> None:
    def refuse(broken: dict[int, str]) -> None:
        raise ValueError(f"{len(broken)}: {next(iter(broken.values()))}")

    pool: Any = Pool(range(VIDEOS))
    gang: Any = ThreadGang(0, 1, Shared(1))
    stream = SampleStream(ITEMS, EPOCHS, Place(), gang, pool, request, Order(7, 1, 4, 1, 3), refuse)
    with pytest.raises(ValueError, match="4: torn"):
        list(stream.step())
