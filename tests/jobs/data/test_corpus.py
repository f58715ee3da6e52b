"""All frames of videos in every container, codec and structure of groups of pictures that are read, compared with an
independent decode; what is not compared is refused."""

import contextlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from jobs.data import containers, reader
from jobs.data.containers import shown_frames
from jobs.data.decoding.faults import Unreadable
from jobs.data.reader import check_file, read_video
from tests.bad_videos import edit, number_of, with_box
from tests.jobs.data.corpus import CODINGS, EDITED, EDITED_CODINGS, FRAMES, HEIGHT, READ, REFUSED, TRIMMED, small

NAMES = [f"{name}.{end}" for end, (_, _, names) in READ.items() for name in names]
TRIMS = [f"trimmed-{first}-{shown}.mp4" for first, shown in TRIMMED]
EDITS = {
    f"edited{first}+{count}-{name}.mp4": list(range(max(first, 0), first + count))
    for name in EDITED_CODINGS
    for first, count in EDITED
    # Only with these B-frames, time begins two frames before the first is shown.
    if first >= 0 or name in ("h264-b", "h264-open", "hevc-open")
}


@dataclass(frozen=True)
class Every:
    """Asks for every frame."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        return HEIGHT, width * HEIGHT // height

    def numbers(self, num_frames: int) -> list[int]:
        return list(range(num_frames))


def test_every_container_and_codec_that_is_read_is_in_the_corpus() -> None:
    found: dict[str, set[str]] = {}
    for container, _, names in READ.values():
        found.setdefault(container, set()).update(CODINGS[name].codec for name in names)
    assert found == {name: set(codecs) for name, codecs in containers.READ.items()}


@pytest.mark.parametrize("name", [*NAMES, *TRIMS, *EDITS])
def test_the_frames_of_every_decoder_are_those_that_were_encoded(corpus: Path, name: str) -> None:
    """By the number that is written into each; and near those of an independent decode."""
    expected = json.loads((corpus / "references.json").read_text())[name]
    file = check_file(corpus / name)
    if name in NAMES:
        assert expected == list(range(FRAMES)), "the corpus itself"
        container, _, _ = READ[name.partition(".")[2]]
        assert (file.name, *file.codecs) == (container, CODINGS[name.partition(".")[0]].codec)
    assert name not in EDITS or expected == EDITS[name], "the corpus itself"
    video = read_video(corpus / name, Every())
    assert [number_of(frame) for frame in video.frames] == expected
    reference = np.load(corpus / f"{name}.npy")
    difference = np.abs(np.stack([small(frame) for frame in video.frames]) - reference).mean((1, 2, 3))
    assert difference.max() < 3
    if "live" in name:
        assert video.decoder == "PyAV", "decord reads no file without a duration"
        return
    if "deep" in name and "decord" in file.decoders:
        assert video.decoder == "decord"
        return
    assert video.decoder == file.decoders[0]
    for other in file.decoders[1:]:
        again = reader.DECODERS[other](str(corpus / name), file, Every(), video.num_frames)
        frames = np.stack([again.frames[number] for number in range(video.num_frames)])
        assert np.abs(frames.astype(int) - video.frames).max() <= (0 if other == "decord" else 2)


@pytest.mark.parametrize("name", [f"{name}.{end}" for end, (_, names) in REFUSED.items() for name in names])
def test_what_was_not_compared_is_refused_with_a_remedy(corpus: Path, name: str) -> None:
    for path in (corpus / "refused" / name, corpus / "refused" / f"{name}.as.mp4"):
        if not path.exists():
            path.symlink_to(corpus / "refused" / name)
        with pytest.raises(Unreadable, match=r"^[^\n]*: (copy it into MP4|encode it as H\.264)[^\n]*$"):
            read_video(path, Every())


@pytest.mark.parametrize("name", ["vp8-hidden.webm", "trimmed-30-37.mp4"])
@pytest.mark.parametrize(
    ("more", "why"), [(None, "the file gives no known reason"), (1, r"its index accounts for \d+")]
)
def test_fewer_frames_than_listed_need_the_cause_that_the_file_names(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, name: str, more: int | None, why: str
) -> None:
    shown, listed = (FRAMES - 37, FRAMES - 30) if "trimmed" in name else (FRAMES, FRAMES + FRAMES // 20)
    with open(corpus / name, "rb") as content:
        assert shown_frames(check_file(corpus / name), content, (corpus / name).stat().st_size, listed) == shown
    monkeypatch.setattr(reader, "shown_frames", lambda *_: None if more is None else shown + more)
    message = f"^only {shown} of the {listed} frames that the file lists are shown, and {why}$"
    with pytest.raises(Unreadable, match=message):
        read_video(corpus / name, Every())


@pytest.mark.parametrize("parts", [[(0, 10), (30, 20)], [(30, 20), (0, 10)], [(0, 50), (20, 30)], [(5, 10), (90, 3)]])
def test_an_edit_list_of_several_parts_is_followed(corpus: Path, tmp_path: Path, parts: list[tuple[int, int]]) -> None:
    path = edit(corpus / "h264-b.mp4", tmp_path / "parts.mp4", parts)
    numbers = [number_of(frame) for frame in read_video(path, Every()).frames]
    assert numbers == [number for first, count in parts for number in range(first, first + count)]


def test_a_codec_that_is_not_found_is_refused(corpus: Path, tmp_path: Path) -> None:
    """Though decord finds it: further into the file, or compressed, it could be any."""
    flv, mov = (corpus / "sorenson.flv").read_bytes(), (corpus / "h264-b.mov").read_bytes()
    note = b"\x12\0\0\x01" + bytes(7) + b"\x05" + (12).to_bytes(4, "big")
    (tmp_path / "video.flv").write_bytes(flv[:13] + 1001 * note + flv[13:])
    at = mov.index(b"moov") - 4
    box = zlib.compress(mov[at:])
    box = _box(b"cmov", _box(b"dcom", b"zlib") + _box(b"cmvd", (len(mov) - at).to_bytes(4, "big") + box))
    (tmp_path / "video.mov").write_bytes(mov[:at] + _box(b"moov", box))
    for name, container in (("video.flv", "FLV"), ("video.mov", "MP4")):
        with pytest.raises(Unreadable, match=f"^its codec is not named where {container} files have it: copy it into "):
            read_video(tmp_path / name, Every())


def test_several_codecs_in_one_track_are_refused(corpus: Path, tmp_path: Path) -> None:
    """FFmpeg leaves out the frames of all but one."""
    data = (corpus / "h264-p.mp4").read_bytes()
    at = data.index(b"stsd")
    one = data[at + 12 : at - 4 + int.from_bytes(data[at - 4 : at], "big")]
    table = bytes(4) + (2).to_bytes(4, "big") + one + one.replace(b"avc1", b"mp4v", 1)
    path = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    (tmp_path / "two.mp4").write_bytes(with_box(data, path, table))
    with pytest.raises(Unreadable, match=r"^more than one codec, .* in one track in MP4, for which no frames were"):
        read_video(tmp_path / "two.mp4", Every())


def _box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def test_what_a_file_says_of_its_tracks_may_be_damaged(corpus: Path, tmp_path: Path) -> None:
    """Whatever the bytes of a file's beginning and end are, there is a line that says why it is not read, if it is
    not."""
    rng = np.random.default_rng(0)
    for name in ("h264-b.mp4", "h264-b.mkv", "vp8-hidden.webm", "h264-b.avi", "h264-b.flv", "trimmed-30-37.mp4"):
        whole = (corpus / name).read_bytes()
        places = [*range(600), *range(len(whole) - 3000, len(whole))]
        for number in range(40):
            data = bytearray(whole)
            for place in rng.choice(places, 3):
                data[place] = rng.integers(256)
            (path := tmp_path / f"{number}-{name}").write_bytes(data)
            with contextlib.suppress(Unreadable):
                found = check_file(path)
                with open(path, "rb") as content:
                    shown_frames(found, content, len(data), FRAMES)
