"""Sound files that are unlike most: each is read with the right frames, whole and in parts, or refused in a line."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from jobs.data.decoding import by_decord
from jobs.data.decoding.faults import Unreadable
from jobs.data.decoding.packets import Packets
from jobs.data.reader import check_file, read_spans, read_video
from tests.bad_videos import number_of, numbered_frames, write_video
from tests.jobs.data.corpus import CODINGS, write
from tests.jobs.data.test_corpus import Every
from tests.jobs.data.test_spans import Part

FRAMES = numbered_frames(100, 96, 128)


def copy(source: Path, path: Path, first: int) -> None:
    """Copy packets, from `first` on, as they are into another file."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in [packet for packet in old.demux(video=0) if packet.dts is not None][first:]:
            packet.stream = stream
            new.mux(packet)


def same_in_parts(path: Path, whole: np.ndarray) -> None:
    for first in range(0, len(whole) - 6, 7):
        for request in (Part(first, 1), Part(first, 5)):
            video = read_spans(path, request)
            assert video.num_frames == len(whole)
            np.testing.assert_array_equal(video.frames, whole[request.numbers(len(whole))])


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_times_of_decoding_in_place_of_those_of_showing(tmp_path: Path, suffix: str) -> None:
    """As after a copy by a tool that knows no B-frames: the decoder's own order counts."""
    source = tmp_path / "source.mp4"
    write(source, "mp4", CODINGS["h264-b"], FRAMES)
    path = tmp_path / f"video.{suffix}"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(packet for packet in old.demux(video=0) if packet.dts is not None):
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 25), stream
            new.mux(packet)
    whole = read_video(path, Every()).frames
    assert [number_of(frame) for frame in whole] == list(range(100))
    same_in_parts(path, whole)


def test_parameters_that_change_within_the_stream(tmp_path: Path) -> None:
    """Two encodings in one track: from the second on, some key frames bring no parameters of their own."""
    one, two = tmp_path / "one.mp4", tmp_path / "two.mp4"
    settings = "keyint=20:min-keyint=20:scenecut=0:bframes=0:threads=1"
    for path, frames, more in ((one, FRAMES[:40], ""), (two, FRAMES[40:], ":chroma-qp-offset=6")):
        write_video(path, frames, options={"x264-params": settings + more})
    path = tmp_path / "video.mp4"
    with av.open(str(two)) as second:
        stored = bytes(second.streams.video[0].codec_context.extradata or b"")
    sets = _sets(stored)
    with av.open(str(one)) as first, av.open(str(two)) as second, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(first.streams.video[0])
        number = 0
        for part in (first, second):
            for packet in part.demux(video=0):
                if packet.dts is not None:
                    data = (sets if part is second and number == 40 else b"") + bytes(packet)
                    made = av.Packet(data)
                    made.pts = made.dts = number
                    made.time_base, made.stream, made.is_keyframe = Fraction(1, 30), stream, packet.is_keyframe
                    new.mux(made)
                    number += 1
    whole = read_video(path, Every()).frames
    assert [number_of(frame) for frame in whole] == list(range(100))
    assert len(Packets.of(str(path), check_file(path)).entries) == 3  # 0, 20 and 40, which has the new ones
    same_in_parts(path, whole)


def _sets(configuration: bytes) -> bytes:
    """The parameter sets of an AVC configuration, each behind its length in four bytes."""
    found, at = b"", 5
    for _ in range(2):
        count, at = configuration[at] & 31, at + 1
        for _ in range(count):
            length = int.from_bytes(configuration[at : at + 2], "big")
            found += length.to_bytes(4, "big") + configuration[at + 2 : at + 2 + length]
            at += 2 + length
    return found


@pytest.mark.parametrize("end", ["mp4", "mkv", "ts"])
def test_interlaced_frames_are_converted_as_by_ffmpeg(tmp_path: Path, end: str) -> None:
    """Whole frames, and not a field after the other; decord has FFmpeg's scale filter within."""
    noisy = FRAMES[:30] // 2 + np.random.default_rng(0).integers(0, 128, FRAMES[:30].shape, np.uint8)
    formats = {"mp4": "mp4", "mkv": "matroska", "ts": "mpegts"}
    paths = {name: tmp_path / f"video.{name}" for name in ("mp4", end)}
    for name, path in paths.items():
        write(path, formats[name], CODINGS["h264-interlaced"], noisy)
    with av.open(str(paths[end])) as content:
        assert next(content.decode(video=0)).interlaced_frame, "the file itself"
    video = read_video(paths[end], Every())
    assert video.decoder == "PyAV"
    expected = by_decord.decode(str(paths["mp4"]), check_file(paths["mp4"]), Every())
    np.testing.assert_array_equal(video.frames, [expected.frames[number] for number in range(30)])


def test_deep_colours_are_decords_where_it_can_read_them(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "deep.mp4"
    write(path, "mp4", CODINGS["h264-deep"], FRAMES[:30])
    for request in (Every(), Part(3, 2)):
        assert read_video(path, request).decoder == "decord"
    assert read_video(corpus / "h264-deep.live.mkv", Every()).decoder == "PyAV"


@pytest.mark.parametrize("end", ["mkv", "ts"])
def test_frames_that_change_their_size_never_mix(tmp_path: Path, end: str) -> None:
    """decord scales them all to the first size; what it cannot read is refused, whichever frames are wanted."""
    small, large = tmp_path / "small.h264", tmp_path / "large.h264"
    write(small, "h264", CODINGS["h264-p"], FRAMES[:30])
    write(large, "h264", CODINGS["h264-p"], numbered_frames(30, 192, 256))
    raw = tmp_path / "both.h264"
    raw.write_bytes(small.read_bytes() + large.read_bytes())
    path = tmp_path / f"video.{end}"
    with av.open(str(raw)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(packet for packet in old.demux(video=0) if packet.size):
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 25), stream
            new.mux(packet)
    outcomes = set()
    for request in (Every(), Part(0, 3), Part(50, 3)):
        try:
            video = read_video(path, request)
            outcomes.add((video.decoder, video.frames.shape[1:]))
        except Unreadable as error:
            outcomes.add(str(error))
    assert len(outcomes) == 1, outcomes


@pytest.mark.parametrize(
    ("name", "end", "first"),
    [
        ("hevc-open", "ts", 30),
        ("h264-open", "ts", 30),
        ("mpeg2-b", "ts", 12),
        ("mpeg2-b", "mkv", 12),
        ("hevc-open", "mp4", 30),
    ],
)
def test_a_stream_cut_out_of_another_at_an_open_group_of_pictures(
    corpus: Path, tmp_path: Path, name: str, end: str, first: int
) -> None:
    """Pictures that refer to what was cut off are not shown, and do not count."""
    source, path = corpus / f"{name}.{end}", tmp_path / f"cut.{end}"
    with av.open(str(source)) as content:
        packets = [packet for packet in content.demux(video=0) if packet.size]
        keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    copy(source, path, first=keys[1])
    video = read_video(path, Every())
    assert [number_of(frame) for frame in video.frames] == list(range(first, 100))
    same_in_parts(path, video.frames)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_titles_need_not_be_in_utf_8(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"video.{suffix}"
    with av.open(str(path), "w") as content:
        content.metadata["title"] = "titleXtitle"
        stream = content.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"  # type: ignore[union-attr]
        for pixels in FRAMES[:20]:
            content.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))  # type: ignore[union-attr]
        content.mux(stream.encode(None))  # type: ignore[union-attr]
    data = path.read_bytes()
    assert b"titleXtitle" in data
    path.write_bytes(data.replace(b"titleXtitle", b"title\xe9title"))
    assert read_video(path, Every()).num_frames == 20
    assert read_spans(path, Part(3, 2)).num_frames == 20


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    """It could have a pipe opened, which never ends."""
    os.mkfifo(tmp_path / "pipe.ts")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\npipe.ts\n#EXT-X-ENDLIST\n")
    (tmp_path / "concat.mp4").write_text("ffconcat version 1.0\nfile 'pipe.ts'\n")
    for name in ("list.mp4", "concat.mp4"):
        script = f"from jobs.data.reader import check_file; check_file({str(tmp_path / name)!r})"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20)
        assert "Unreadable: not a video, or in a container that is not read" in done.stderr


def test_a_codec_that_ffmpeg_does_not_know_either(tmp_path: Path, corpus: Path) -> None:
    data = (corpus / "wmv2.wmv").read_bytes()
    assert b"WMV2" in data
    (tmp_path / "video.wmv").write_bytes(data.replace(b"WMV2", b"XYZ9"))
    with pytest.raises(Unreadable, match=r"^its codec is not known$"):
        check_file(tmp_path / "video.wmv")


@pytest.mark.parametrize("matrix", ["YCgCo", "bt2020c", "ictcp", "chroma-derived-nc", "GBR"])
def test_colour_spaces_that_one_decoder_does_not_convert_are_the_others(tmp_path: Path, matrix: str) -> None:
    path = write_video(tmp_path / "video.mp4", FRAMES[:20], options={"x264-params": f"colormatrix={matrix}"})
    expected = by_decord.decode(str(path), check_file(path), Every())
    video = read_video(path, Every())
    np.testing.assert_array_equal(video.frames, [expected.frames[number] for number in range(20)])


def test_a_few_signs_of_life_come_while_packets_are_only_listed(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.data.decoding import packets

    beats: list[int] = []
    monkeypatch.setattr(packets, "beat", lambda: beats.append(1))
    Packets.of(str(corpus / "h264-b.mp4"), check_file(corpus / "h264-b.mp4"))
    assert len(beats) >= 100
