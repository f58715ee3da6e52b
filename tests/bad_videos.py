"""Videos for tests: good ones whose frames say which they are, and one of every kind of bad one."""

import os
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from jobs.data.encoding import X264

KINDS = (
    "missing",
    "empty",
    "folder",
    "pipe",
    "text",
    "audio_only",
    "truncated",
    "bit_flipped",
    "single_frame",
    "crash",
)
"""The kinds of bad video that `make_bad_videos` makes."""


def numbered_frames(count: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """uint8 (count, height, width, 3) of moving texture; blocks at the top left hold the frame's number in binary."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
    texture = coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
    frames = np.stack([np.roll(texture, number, axis=1) for number in range(count)])
    for number in range(count):
        for bit, block in enumerate(_blocks(frames[number])):
            block[:] = 255 * (number >> bit & 1)
    return frames


def number_of(frame: np.ndarray) -> int:
    """The number that `numbered_frames` wrote into a frame, whatever its size has become."""
    return sum((_middle(block).mean() > 127) << bit for bit, block in enumerate(_blocks(frame)))


def _blocks(frame: np.ndarray) -> list[np.ndarray]:
    side = min(frame.shape[0] // 3, frame.shape[1] // 5)
    return [frame[side * row : side * (row + 1), side * col : side * (col + 1)] for row in (0, 1) for col in range(5)]


def _middle(block: np.ndarray) -> np.ndarray:
    margin = len(block) // 4
    return block[margin:-margin, margin:-margin]


def write_video(
    path: Path,
    frames: np.ndarray,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    faststart: bool = False,
    audio: bool = False,
    pixels: str = "yuv420p",
    rate: int = 30,
) -> Path:
    """Encode uint8 (frames, height, width, 3), the same bytes everywhere with x264; the suffix of `path` picks the
    container."""
    muxing = {"movflags": "faststart"} if faststart else {}
    options = dict(options or {})
    if codec == "libx264":
        options["x264-params"] = ":".join(filter(None, [X264, options.get("x264-params")]))
    with av.open(str(path), "w", options=muxing) as container:
        video = container.add_stream(codec, rate=rate, options=options)
        assert isinstance(video, av.VideoStream)
        video.height, video.width, video.pix_fmt = *frames.shape[1:3], pixels
        if audio:
            _write_tone(container, len(frames) / rate)
        for number, pixel_values in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixel_values, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def _write_tone(container: av.container.OutputContainer, seconds: float) -> None:
    stream = container.add_stream("aac", rate=44100, layout="mono")
    assert isinstance(stream, av.AudioStream)
    for start in range(0, int(44100 * seconds), 1024):
        samples = 0.3 * np.sin(np.arange(start, start + 1024, dtype=np.float32) / 20)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_audio(path: Path, seconds: float = 1.0) -> Path:
    """A file with sound and no picture."""
    with av.open(str(path), "w") as container:
        _write_tone(container, seconds)
    return path


def trim(source: Path, path: Path, keep_from: int, show_from: int) -> Path:
    """Copy `source` from the key frame `keep_from` on as it is; an edit list hides what precedes `show_from`."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.dts is not None][keep_from:]
        assert packets[0].is_keyframe
        start = packets[0].pts + (show_from - keep_from) * packets[0].duration
        for packet in packets:
            packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, stream
            new.mux(packet)
    return path


def edit(source: Path, path: Path, parts: Sequence[tuple[int, int]], rate: int = 25) -> Path:
    """Copy an MP4 of FFmpeg with another edit list: of each part, the first frame shown and how many are."""
    data = source.read_bytes()
    _, begin = struct.unpack_from(">Ii", data, data.index(b"elst") + 12)
    (units,) = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)
    rows = [(1000 * count // rate, begin + first * units // rate, 1 << 16) for first, count in parts]
    table = struct.pack(">II", 0, len(rows)) + b"".join(struct.pack(">IiI", *row) for row in rows)
    assert data.index(b"mdat") < data.index(b"moov"), "growing moov would move the pictures"
    path.write_bytes(with_box(data, (b"moov", b"trak", b"edts", b"elst"), table))
    return path


def flip_bits(path: Path, count: int, seed: int) -> None:
    """Flip `count` random bits of the pictures in an MP4 file."""
    data = bytearray(path.read_bytes())
    start, end = next((start, end) for kind, start, end in _boxes(data) if kind == b"mdat")
    rng = np.random.default_rng(seed)
    for position in rng.integers(start + 8, end, count):
        data[position] ^= 1 << rng.integers(8)
    path.write_bytes(data)


def make_bad_videos(folder: Path) -> dict[str, Path]:
    """One file of every kind in `KINDS`, by kind; the one that is missing is not made."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {kind: folder / f"{kind}.mp4" for kind in KINDS}
    frames = numbered_frames(60)
    files["empty"].touch()
    files["folder"].mkdir()
    os.mkfifo(files["pipe"])
    files["text"].write_text("This is not a video.\n" * 100)
    write_audio(files["audio_only"])
    write_video(files["truncated"], frames, faststart=True)
    os.truncate(files["truncated"], files["truncated"].stat().st_size * 3 // 5)
    write_video(files["bit_flipped"], frames)
    flip_bits(files["bit_flipped"], 40, seed=0)
    write_video(files["single_frame"], frames[:1])
    write_video(files["crash"], frames, "mpeg4")
    _overstate_frames(files["crash"])
    return files


def _overstate_frames(path: Path) -> None:
    """Claim more frames than any memory can index, in 24 KB of time table: decord 0.6, which reads MPEG-4, aborts on
    std::bad_alloc."""
    data = path.read_bytes()
    assert data.index(b"mdat") < data.index(b"moov"), "growing moov would move the pictures"
    table = struct.pack(">II", 0, 3000) + struct.pack(">II", 2**31 - 1, 1) * 3000
    path.write_bytes(with_box(data, (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"), table))


def _boxes(data: bytes | bytearray) -> list[tuple[bytes, int, int]]:
    """Kind, start and end of the boxes that make up `data`."""
    found, start = [], 0
    while start + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        found.append((kind, start, start + size))
        start += size
    return found


def with_box(data: bytes, path: tuple[bytes, ...], content: bytes) -> bytes:
    """`data` with another content of the box that `path` leads to, through the first box of each kind."""
    start, end = next((start, end) for kind, start, end in _boxes(data) if kind == path[0])
    inner = content if len(path) == 1 else with_box(data[start + 8 : end], path[1:], content)
    return data[:start] + struct.pack(">I4s", 8 + len(inner), path[0]) + inner + data[end:]
