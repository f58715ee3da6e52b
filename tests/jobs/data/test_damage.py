"""Damage is noticed in every container and codec at least as often as by decord, which read all videos before."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from jobs.data import reader
from jobs.data.decoding import by_decord
from jobs.data.decoding.faults import Unreadable
from jobs.data.reader import check_file, read_video
from tests.jobs.data.corpus import CODINGS
from tests.jobs.data.test_corpus import Every

KINDS = ("1 bit", "10 bits", "100 zeros", "cut")
DRAWS = 8
NOTICED = {
    "h264-b.mp4": (7, 8, 4, 8),
    "h264-p.mkv": (2, 7, 3, 8),
    "h264-b.avi": (2, 8, 6, 8),
    "h264-b.flv": (2, 8, 5, 8),
    "h264-b.ts": (1, 8, 2, 8),
    "hevc-open.mp4": (1, 3, 3, 8),
    "hevc-p.mkv": (0, 0, 1, 8),
    "hevc-p.ts": (1, 1, 3, 8),
    "vp9-lag.mp4": (0, 0, 1, 8),
    "vp9.webm": (0, 0, 1, 8),
    "vp8.webm": (0, 0, 0, 8),
    "av1.mp4": (7, 8, 8, 8),
    "av1.webm": (7, 8, 8, 8),
    "mpeg4-b.mp4": (6, 8, 8, 8),
    "mpeg4-b.avi": (6, 8, 8, 6),
    "mpeg2-b.mp4": (3, 8, 8, 8),
    "mpeg2-b.avi": (1, 8, 8, 5),
    "mpeg2-b.mpg": (4, 8, 8, 6),
    "mjpeg.mp4": (1, 8, 4, 8),
    "mjpeg.avi": (2, 8, 4, 8),
    "sorenson.flv": (2, 8, 8, 8),
    "wmv2.wmv": (1, 7, 1, 5),
    "vp8.ogv": (0, 1, 0, 0),
    "hevc-p.hevc": (0, 0, 1, 0),
}
"""Of eight files damaged in each of these ways, in how many damage was noticed."""


def damaged(data: bytes, kind: str, seed: int) -> bytes:
    """`data` with damage of a kind somewhere in its middle."""
    rng = np.random.default_rng((seed, KINDS.index(kind)))
    low, high = len(data) // 10, len(data) * 9 // 10
    changed = bytearray(data)
    if kind == "cut":
        return data[: rng.integers(len(data) // 3, len(data) - 5)]
    if kind == "100 zeros":
        start = rng.integers(low, high - 100)
        changed[start : start + 100] = bytes(100)
    else:
        for place in rng.integers(low, high, int(kind.split()[0])):
            changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def noticed(path: Path, by: str) -> bool:
    """Whether damage is, by `all`, which reads as always, or by decord alone."""
    try:
        if by == "all":
            read_video(path, Every())
        else:
            file = check_file(path)
            reader._check_count(path, file, by_decord.decode(str(path), file, Every()))
    except Unreadable:
        return True
    return False


@pytest.mark.parametrize("name", NOTICED)
def test_damage_is_noticed_as_often_as_the_docs_say_and_as_by_decord(corpus: Path, tmp_path: Path, name: str) -> None:
    data, decoders = (corpus / name).read_bytes(), check_file(corpus / name).decoders
    ways = ("all", "decord") if decoders == ("PyAV", "decord") else ("all",)
    for kind, stated in zip(KINDS, NOTICED[name], strict=True):
        found: Counter[str] = Counter()
        for seed in range(DRAWS):
            (path := tmp_path / f"{kind} {seed} {name}").write_bytes(damaged(data, kind, seed))
            for by in ways:
                found[by] += noticed(path, by)
        # Encoders of another machine may write other bytes.
        assert abs(found["all"] - stated) <= 1, kind
        assert found["all"] >= found["decord"], kind


def test_the_table_in_the_docs_has_these_figures() -> None:
    docs = Path(__file__).parents[3] / "docs" / "measuring.md"
    rows = {}
    for line in docs.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == len(KINDS) + 1 and cells[1].isdigit():
            rows[cells[0]] = tuple(map(int, cells[1:]))
    assert rows == {title(name): counts for name, counts in NOTICED.items()}


def title(name: str) -> str:
    """How the docs call a file of the corpus: its codec and the end of its name."""
    coding, _, end = name.partition(".")
    return f"{CODINGS[coding].codec}, .{end}"
