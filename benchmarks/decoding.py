"""What a core pays for the frames that are wanted of a video, beside what its decoding alone takes.

    python -m benchmarks.decoding

CPU seconds of one process, medians over rounds in which all ways take turns, of 10-second 340×256 videos made on the
spot: this package's reading, with its resizing and checks; decord's and torchcodec's ways to frames of given numbers,
without; and PyAV decoding all frames and converting none.
"""

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import tabulate

from benchmarks.loading import BRANCHES, CLIP, GRAIN, SIDE, STRIDE
from benchmarks.one_pass import FRAMES, HEIGHT, RATE, WIDTH, make_videos
from jobs.data.reader import read_spans, read_video
from jobs.data.requests import ClipRequest, Request
from jobs.data.samples import SampleRequest
from jobs.spec.recipe import Recipe
from jobs.spec.sampling import sampling

CODECS = {"H.264": "libx264", "HEVC": "libx265", "VP9": "libvpx-vp9", "MPEG-4": "mpeg4"}
ROUNDS = 9


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each way is measured ({ROUNDS})")
    rounds = parser.parse_args().rounds
    import av  # noqa: F401  before decord, whose symbols are global
    import cv2

    cv2.setNumThreads(1)
    rows, sizes = [], []
    for codec, encoder in CODECS.items():
        with tempfile.TemporaryDirectory() as folder:
            make_videos(Path(folder), 1, GRAIN, encoder)
            file = str(Path(folder) / "0.mp4")
            sizes.append(f"{codec} {Path(file).stat().st_size / 1e6:.2f} MB")
            rows += _rows(codec, file, rounds)
    print(
        f"{FRAMES / RATE:.0f} s of {WIDTH}×{HEIGHT}: {', '.join(sizes)}; ms of CPU a video, and × PyAV's bare decode\n"
    )
    headers = ["codec", "frames wanted", "ours", "decord get_batch", "torchcodec", "PyAV, bare"]
    print(tabulate.tabulate(rows, headers, tablefmt="pipe"))


def _rows(codec: str, file: str, rounds: int) -> list[list[str]]:
    """For each kind of request: how many frames it wants, and what each way takes."""
    seconds: dict[tuple[str, str], list[float]] = {}
    wanted: dict[str, set[int]] = {}
    for number in range(-1, rounds):  # the first warms up
        requests = _requests(max(number, 0))
        ways: dict[tuple[str, str], Callable[[], Any]] = {("", "bare"): lambda: _bare(file)}
        for name, (request, read) in requests.items():
            numbers = request.numbers(FRAMES)
            wanted.setdefault(name, set()).add(len(numbers))
            ways[name, "ours"] = lambda read=read, request=request: read(file, request)
            ways[name, "decord"] = lambda numbers=numbers: _decord(file, numbers)
            if importlib.util.find_spec("torchcodec"):
                ways[name, "torchcodec"] = lambda numbers=numbers: _torchcodec(file, numbers)
        for key, way in ways.items():
            began = time.process_time()
            way()
            if number >= 0:
                seconds.setdefault(key, []).append(time.process_time() - began)
    bare = median(seconds["", "bare"])
    rows = []
    for name, counts in wanted.items():
        found = [seconds.get((name, way)) for way in ("ours", "decord", "torchcodec")]
        texts = [f"{1000 * median(one):.0f}, {median(one) / bare:.2f} ×" if one else "not installed" for one in found]
        count = "–".join(str(one) for one in sorted({min(counts), max(counts)}))
        rows.append([codec, f"{name}: {count}", *texts, f"{1000 * bare:.0f}"])
    return rows


def _requests(number: int) -> dict[str, tuple[Request, Callable[[str, Request], Any]]]:
    """What is wanted, and how it is read; of a training, new clips in each round."""
    way, recipe = sampling("videomae", "kinetics", CLIP, STRIDE), Recipe()
    seeds = tuple((recipe.seed, 0, number, copy) for copy in range(recipe.repeats))
    training = SampleRequest.by(recipe, seeds=seeds, sampling=way, side=SIDE, branches=BRANCHES)
    grids = {grid: (ClipRequest(way, (grid,), SIDE), read_video) for grid in ("5x3", "16x3")}
    return {**grids, f"training, {recipe.repeats} clips": (training, read_spans)}


def _bare(file: str) -> int:
    import av

    with av.open(file) as content:
        content.streams.video[0].codec_context.thread_count = 1
        return sum(1 for _ in content.decode(video=0))


def _decord(file: str, numbers: list[int]) -> Any:
    import decord

    return decord.VideoReader(file, num_threads=1).get_batch(numbers).asnumpy()


def _torchcodec(file: str, numbers: list[int]) -> Any:
    from torchcodec.decoders import VideoDecoder

    return VideoDecoder(file, num_ffmpeg_threads=1).get_frames_at(numbers)


if __name__ == "__main__":
    main()
