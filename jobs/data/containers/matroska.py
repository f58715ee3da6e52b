"""Matroska and WebM: elements of an id, a size and a content (RFC 8794, RFC 9559)."""

from collections.abc import Iterator
from typing import BinaryIO

NAME = "Matroska"
_MARK = b"\x1a\x45\xdf\xa3"
_SEGMENT, _TRACKS, _TRACK, _CLUSTER, _GROUP = 0x18538067, 0x1654AE6B, 0xAE, 0x1F43B675, 0xA0
_NUMBER, _TYPE, _CODEC, _PRIVATE, _ENCODINGS = 0xD7, 0x83, 0x86, 0x63A2, 0x6D80
_SIMPLE_BLOCK, _BLOCK = 0xA3, 0xA1
_WITHIN = (_SEGMENT, _TRACKS, _TRACK, _CLUSTER, _GROUP)
"""Elements that contain those sought."""
_VIDEO = 1
_CODECS = {
    "V_MPEG4/ISO/AVC": "H.264",
    "V_MPEGH/ISO/HEVC": "HEVC",
    "V_VP8": "VP8",
    "V_VP9": "VP9",
    "V_AV1": "AV1",
    **dict.fromkeys(("V_MPEG4/ISO/SP", "V_MPEG4/ISO/ASP", "V_MPEG4/ISO/AP"), "MPEG-4"),
    "V_MPEG2": "MPEG-2",
    "V_MPEG1": "MPEG-1",
    "V_MJPEG": "Motion JPEG",
}
_HEAD = 16
"""Bytes of a block that are read: the number of its track, a time, flags, and the beginning of its frame."""


def is_one(head: bytes) -> bool:
    """Whether a file that begins so is one."""
    return head.startswith(_MARK)


def codecs(content: BinaryIO, size: int) -> Iterator[str]:
    """The codec of each video track."""
    for track in _video_tracks(content, size):
        name = track.get(_CODEC, b"").rstrip(b"\0").decode("latin-1")
        yield _CODECS.get(name, f"codec {name!r}")


def hidden_frames(content: BinaryIO, size: int) -> int:
    """How many VP8 frames of the one video track are not to be shown, as their own headers say; 0 where blocks are
    laced or their content is compressed, which nobody does with video."""
    (track,) = _video_tracks(content, size)
    number = int.from_bytes(track.get(_NUMBER, b""), "big")
    if _ENCODINGS in track:
        return 0
    found = 0
    for kind, start, _ in _elements(content, size):
        if kind in (_SIMPLE_BLOCK, _BLOCK):
            content.seek(start)
            head = content.read(_HEAD)
            length = _length(head[0])
            if int.from_bytes(head[:length], "big") ^ 1 << 7 * length != number:
                continue
            if head[length + 2] & 0x06:
                return 0
            frame = head[length + 3 :]
            # The bit show_frame of a frame's tag (RFC 6386, 9.1).
            found += not frame[0] >> 4 & 1
    return found


def _video_tracks(content: BinaryIO, size: int) -> list[dict[int, bytes]]:
    """What is said of each video track, by the ids of elements."""
    tracks: list[dict[int, bytes]] = []
    for kind, start, end in _elements(content, size):
        if kind == _CLUSTER:
            break
        if kind == _TRACK:
            tracks.append({})
        elif tracks and kind in (_NUMBER, _TYPE, _CODEC, _ENCODINGS):
            content.seek(start)
            tracks[-1][kind] = content.read(min(end - start, 256))
    return [track for track in tracks if int.from_bytes(track.get(_TYPE, b""), "big") == _VIDEO]


def _elements(content: BinaryIO, size: int) -> Iterator[tuple[int, int, int]]:
    """Id, start and end of the content of every element, those within others after them. One of unknown size, as live
    streams have, is searched if it may hold what is sought, and else ends the search."""
    at = 0
    while at < size:
        content.seek(at)
        head = content.read(12)
        width = _length(head[0]) if head else 9
        if width > 4 or len(head) < width + 1:
            return
        more = _length(head[width])
        if more > 8 or len(head) < width + more:
            return
        kind = int.from_bytes(head[:width], "big")
        mark = 1 << 7 * more
        length = int.from_bytes(head[width : width + more], "big") ^ mark
        start = at + width + more
        unknown = length == mark - 1
        if unknown and kind not in _WITHIN:
            return
        end = size if unknown else start + length
        yield kind, start, end
        at = start if kind in _WITHIN else end


def _length(first: int) -> int:
    """How many bytes a number has whose first byte this is; 9 for none."""
    return 9 - first.bit_length()
