"""Frames of a part of a video are those of the whole, whatever its groups of pictures are; damage elsewhere is not
seen."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from jobs.data.decoding import by_pyav
from jobs.data.decoding.faults import Unreadable
from jobs.data.decoding.packets import Packets
from jobs.data.reader import check_file, read_spans, read_video
from tests.bad_videos import edit, number_of, numbered_frames, write_video
from tests.jobs.data.corpus import CODINGS, FRAMES, HEIGHT, READ
from tests.jobs.data.test_corpus import EDITS, TRIMS, Every

ENTRIES = {
    "h264-intra": FRAMES,
    **dict.fromkeys(("h264-long", "h264-open", "h264-refresh", "h264-deep", "av1-low", "av1-deep"), 1),
    **dict.fromkeys(("h264-p", "h264-b", "h264-pyramid", "h264-interlaced", "hevc-p", "hevc-open", "vp9", "av1"), 4),
    "vp9-lag": 3,
}
"""Packets that decoding can begin with, in MP4 and Matroska; other codings and containers are decoded whole."""
NAMES = [
    f"{name}.{end}"
    for end, (container, _, names) in READ.items()
    for name in names
    if "MPEG-4" not in CODINGS[name].codec
]


@dataclass(frozen=True)
class Part:
    """Asks for `count` frames from `first` on, every `step`-th."""

    first: int
    count: int
    step: int = 1

    def size(self, height: int, width: int) -> tuple[int, int]:
        return HEIGHT, width * HEIGHT // height

    def numbers(self, num_frames: int) -> list[int]:
        return [
            number
            for number in range(self.first, self.first + self.count * self.step, self.step)
            if number < num_frames
        ]


@dataclass(frozen=True)
class Parts:
    """Asks for the frames of two parts."""

    parts: tuple[Part, Part]

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.parts[0].size(height, width)

    def numbers(self, num_frames: int) -> list[int]:
        return sorted({number for part in self.parts for number in part.numbers(num_frames)})


REQUESTS = [
    *(Part(first, count, step) for first in range(0, FRAMES, 9) for count, step in ((1, 1), (4, 1), (5, 4))),
    *(Parts((Part(first, 3), Part(first + 40, 3, 2))) for first in range(0, FRAMES - 46, 11)),
]


@pytest.mark.parametrize("name", [*NAMES, *TRIMS, *EDITS])
def test_the_frames_of_a_part_are_those_of_the_whole(corpus: Path, name: str) -> None:
    path = corpus / name
    file, whole = check_file(path), read_video(path, Every())
    coding = name.partition(".")[0]
    if name in NAMES:
        entries = ENTRIES.get(coding, 0) if file.name in ("MP4", "Matroska") else 0
        assert len(Packets.of(str(path), file).entries) == entries
    if file.decoders[0] != "PyAV":
        return
    for request in REQUESTS:
        numbers = request.numbers(whole.num_frames)
        if not numbers:
            continue
        if "h264-deep" not in name:  # handed over
            alone = by_pyav.decode_spans(str(path), file, request)
            assert "h264-open" in name or bool(alone) == bool(name not in NAMES or entries)
        video = read_spans(path, request)
        assert (video.num_frames, video.numbers.tolist()) == (whole.num_frames, numbers)
        np.testing.assert_array_equal(video.frames, whole.frames[numbers])


@pytest.mark.parametrize("parts", [[(0, 10), (30, 20)], [(30, 20), (0, 10)], [(0, 50), (20, 30)]])
def test_so_they_are_after_an_edit_list_of_several_parts(
    corpus: Path, tmp_path: Path, parts: list[tuple[int, int]]
) -> None:
    path = edit(corpus / "h264-b.mp4", tmp_path / "parts.mp4", parts)
    whole = read_video(path, Every())
    for request in REQUESTS:
        if numbers := request.numbers(whole.num_frames):
            np.testing.assert_array_equal(read_spans(path, request).frames, whole.frames[numbers])


def spans(path: Path, wanted: list[int]) -> list[tuple[int, int, frozenset[int]]]:
    """The first and the last packet of each, and the frames."""
    found = Packets.of(str(path), check_file(path)).spans(wanted)
    return [(min(span.packets), max(span.packets), span.frames) for span in found]


def test_a_part_takes_only_the_groups_of_pictures_it_is_in(corpus: Path) -> None:
    path = corpus / "h264-p.mp4"
    assert spans(path, [5]) == [(0, 5, {5})]
    assert spans(path, [29, 30]) == [(0, 30, {29, 30})]
    assert spans(path, [31, 89]) == [(30, 89, {31, 89})] == spans(path, [89, 31])
    assert spans(path, [3, 95]) == [(0, 3, {3}), (90, 95, {95})]


def test_a_picture_shown_before_its_groups_first_takes_the_group_before(corpus: Path) -> None:
    path = corpus / "hevc-open.mp4"
    packets = Packets.of(str(path), check_file(path))
    entry = packets.entries[1]
    first = packets.numbers()[packets.times[entry]]  # type: ignore[index]
    assert first > entry, "the corpus itself: pictures after the key frame are shown before it"
    assert spans(path, [first]) == [(entry, entry, {first})]
    assert [start for start, _, _ in spans(path, [first - 1])] == [0]


def test_pictures_that_none_refers_to_are_decoded_only_where_they_are_wanted(corpus: Path) -> None:
    """Of three B-frames between two others, as this video has them, none is a reference."""
    path = corpus / "h264-b.mp4"
    packets = Packets.of(str(path), check_file(path))
    numbers = packets.numbers()
    spare = {numbers[time] for time, is_spare in zip(packets.times, packets.spare, strict=True) if is_spare}  # type: ignore[index]
    between = {
        number
        for start in (0, 30, 60, 90)
        for number in range(start, min(start + 29, FRAMES - 1))
        if (number - start) % 4
    }
    assert spare == between
    for wanted in ([8], [9], [25]):
        (span,) = packets.spans(wanted)
        decoded = {numbers[packets.times[index]] for index in span.packets}  # type: ignore[index]
        assert decoded & spare == spare & set(wanted)


def test_damage_beyond_a_part_does_not_cost_it(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "video.mp4", numbered_frames(100), options={"g": "10", "bf": "0", "sc_threshold": "0"}
    )
    data = bytearray(path.read_bytes())
    end = data.index(b"moov") - 4
    data[end - 200 : end - 100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(Unreadable, match=r"^damaged"):
        read_video(path, Part(0, 5))
    video = read_spans(path, Part(0, 5))
    assert (video.num_frames, [number_of(frame) for frame in video.frames]) == (100, [0, 1, 2, 3, 4])
    with pytest.raises(Unreadable, match=r"^damaged"):
        read_spans(path, Part(90, 10))
