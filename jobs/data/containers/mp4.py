"""MP4, QuickTime and 3GP: boxes, of which `moov` is the index (ISO/IEC 14496-12; QuickTime File Format)."""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

NAME = "MP4"
_FIRST = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_CODECS = {
    **dict.fromkeys((b"avc1", b"avc3"), "H.264"),
    **dict.fromkeys((b"hvc1", b"hev1"), "HEVC"),
    **dict.fromkeys((b"jpeg", b"mjpa", b"mjpb"), "Motion JPEG"),
    **dict.fromkeys((b"m1v ", b"m1v1", b"mpeg"), "MPEG-1"),
    **dict.fromkeys((b"m2v1", b"mp2v"), "MPEG-2"),
    b"vp09": "VP9",
    b"av01": "AV1",
}
"""By the type of the sample description."""
_OBJECTS = {0x20: "MPEG-4", **dict.fromkeys(range(0x60, 0x66), "MPEG-2"), 0x6A: "MPEG-1", 0x6C: "Motion JPEG"}
"""What `mp4v` holds, by its object type (ISO/IEC 14496-1)."""
_MOST, _SAMPLES = 2**26, 10**7
"""Bytes of a box's tables, and samples of a track, that are read at most."""
_PARTS = 100
"""Parts of an edit list, at most: each is looked for among all samples."""
_NORMAL_SPEED = 1 << 16
"""The rate of an edit, in 16.16 fixed point."""


class Box(NamedTuple):
    """A box, and where in the file its content is."""

    kind: bytes
    start: int
    end: int


def is_one(head: bytes) -> bool:
    """Whether a file that begins so is one."""
    return head[4:8] in _FIRST


def codecs(content: BinaryIO, size: int) -> Iterator[str]:
    """The codec of each video track. ValueError where boxes reach past the end of the file, or the index is missing."""
    _check_whole(content, size)
    for track in _video_tracks(content, size):
        yield _codec(content, track)


def shown_frames(content: BinaryIO, size: int) -> int | None:
    """How many samples the edit list of the one video track shows: those within each of its parts, from the key frame
    on that decoding of it starts at. None where there is no edit list, or one of another speed."""
    tracks = list(_video_tracks(content, size))
    if len(tracks) != 1 or not (found := _find(content, tracks[0], b"edts", b"elst")):
        return None
    entries = _table(content, found, ">qqi" if _version(content, found) else ">Iii")
    # An edit of nothing delays the track, and hides none of it.
    parts = [(start, length) for length, start, _ in entries if start != -1]
    tables = _find(content, tracks[0], b"mdia", b"minf", b"stbl")
    movie = _find(content, Box(b"", 0, size), b"moov", b"mvhd")
    media = _find(content, tracks[0], b"mdia", b"mdhd")
    if (
        not 0 < len(parts) <= _PARTS
        or any(rate != _NORMAL_SPEED for _, _, rate in entries)
        or not (tables and movie and media)
    ):
        return None
    # Lengths are in the movie's units of time, all else in the track's.
    units, own = _units(content, movie), _units(content, media)
    times = _times(content, tables)
    keys = _find(content, tables, b"stss")
    numbers = [number - 1 for (number,) in _table(content, keys, ">I")] if keys else range(len(times))
    count = 0
    for first, length in parts:
        end = first + (length * own + units // 2) // units
        before = [number for number in numbers if number < len(times) and times[number] <= first]
        count += sum(first <= time < end for time in times[max(before, default=0) :])
    return count if times else None


def flipped(content: BinaryIO, size: int) -> int | None:
    """The axis, 0 for rows and 1 for columns, along which frames must be reversed after they were turned by the angle
    of the video track's matrix: where that mirrors as well, as front cameras have it. None where it does not."""
    track = next(_video_tracks(content, size), None)
    header = _find(content, track, b"tkhd") if track else None
    text = _read(content, header) if header else b""
    matrix = text[52 if text[:1] == b"\1" else 40 :]
    if len(matrix) < 20:
        return None
    a, b, _, c, d = struct.unpack_from(">5i", matrix)
    return None if a * d - b * c >= 0 else int(abs(a) < abs(b))


def _units(content: BinaryIO, header: Box) -> int:
    """How many units of time a second has, by the header of the movie or of a track's media."""
    (found,) = struct.unpack_from(">I", _read(content, header), 20 if _version(content, header) else 12)
    if not found:
        raise ValueError("damaged: its units of time have no length")
    return int(found)


def _times(content: BinaryIO, tables: Box) -> list[int]:
    """When each sample is shown, in the track's own units, in the order of decoding."""
    durations, offsets = _find(content, tables, b"stts"), _find(content, tables, b"ctts")
    steps = _spread(_table(content, durations, ">II")) if durations else []
    shifts = _spread(_table(content, offsets, ">Ii")) if offsets else []
    times, now = [], 0
    for number, step in enumerate(steps):
        times.append(now + (shifts[number] if number < len(shifts) else 0))
        now += step
    return times


def _spread(runs: list[tuple[int, ...]]) -> list[int]:
    """The values of runs of equal ones. ValueError for more of them than any video has."""
    if sum(count for count, _ in runs) > _SAMPLES:
        raise ValueError("damaged: its index lists more samples than any video has")
    return [value for count, value in runs for _ in range(count)]


def _check_whole(content: BinaryIO, size: int) -> None:
    """ValueError where top-level boxes reach past the end of the file, which decord may not mind."""
    kinds = set()
    for box in _boxes(content, 0, size):
        if box.kind in (b"moov", b"mdat", b"moof") and box.end > size:
            raise ValueError(f"truncated: {box.end - size} bytes are missing of its {box.kind.decode()!r} box")
        kinds.add(box.kind)
    if b"moov" not in kinds:
        raise ValueError("truncated: the index, its 'moov' box, is missing")


def _boxes(content: BinaryIO, start: int, end: int) -> Iterator[Box]:
    while start + 8 <= end:
        content.seek(start)
        length, kind = struct.unpack(">I4s", content.read(8))
        header = 8
        if length == 1 and start + 16 <= end:
            (length,), header = struct.unpack(">Q", content.read(8)), 16
        stop = end if length == 0 else start + max(length, header)
        yield Box(kind, start + header, stop)
        start = stop


def _find(content: BinaryIO, box: Box, *path: bytes) -> Box | None:
    """The first box that a path of kinds leads to."""
    for kind in path:
        found = next((one for one in _boxes(content, box.start, box.end) if one.kind == kind), None)
        if not found:
            return None
        box = found
    return box


def _video_tracks(content: BinaryIO, size: int) -> Iterator[Box]:
    index = _find(content, Box(b"", 0, size), b"moov")
    for box in list(_boxes(content, index.start, index.end)) if index else []:
        handler = _find(content, box, b"mdia", b"hdlr") if box.kind == b"trak" else None
        if handler and _read(content, handler)[8:12] == b"vide":
            yield box


def _codec(content: BinaryIO, track: Box) -> str:
    described = _find(content, track, b"mdia", b"minf", b"stbl", b"stsd")
    if not described:
        return "a codec that it does not name"
    found = {(one.kind, _read(content, one)) for one in _boxes(content, described.start + 8, described.end)}
    if len(found) != 1:
        # FFmpeg silently leaves out the frames of a codec other than the first one's.
        return "more than one codec, or setting of a codec, in one track" if found else "a codec that it does not name"
    ((kind, description),) = found
    if kind == b"mp4v":
        return _OBJECTS.get(_object_type(description), "codec 'mp4v' of another type")
    return _CODECS.get(kind, f"codec {kind.decode('latin-1')!r}")


def _object_type(description: bytes) -> int:
    """The object type in the `esds` box of a sample description; 0 where there is none."""
    place = description.find(b"esds")
    # After its version, descriptors: a tag, a length in bytes of seven bits, a content.
    at = place + 8
    if place < 0 or description[at : at + 1] != b"\x03":
        return 0
    at = _after_length(description, at + 1)
    flags = description[at + 2]
    at += 3 + 2 * bool(flags & 0x80) + 2 * bool(flags & 0x20)
    if flags & 0x40:
        at += 1 + description[at]
    if description[at : at + 1] != b"\x04":
        return 0
    return description[_after_length(description, at + 1)]


def _after_length(text: bytes, at: int) -> int:
    while text[at] & 0x80:
        at += 1
    return at + 1


def _version(content: BinaryIO, box: Box) -> int:
    return _read(content, box)[0]


def _table(content: BinaryIO, box: Box, form: str) -> list[tuple[int, ...]]:
    """The rows of a table: after version and flags, how many they are, then each in `form`."""
    text = _read(content, box)
    (count,) = struct.unpack_from(">I", text, 4)
    width = struct.calcsize(form)
    return [struct.unpack_from(form, text, 8 + width * row) for row in range(min(count, (len(text) - 8) // width))]


def _read(content: BinaryIO, box: Box) -> bytes:
    content.seek(box.start)
    return content.read(min(box.end - box.start, _MOST))
