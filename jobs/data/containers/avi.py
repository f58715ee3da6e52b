"""AVI: chunks and lists of chunks (Microsoft, RIFF; OpenDML)."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

NAME = "AVI"
_CODECS = {
    **dict.fromkeys(("H264", "X264", "AVC1"), "H.264"),
    **dict.fromkeys(("XVID", "DIVX", "DX50", "FMP4", "MP4V"), "MPEG-4"),
    **dict.fromkeys(("MPG2", "MPEG2"), "MPEG-2"),
    **dict.fromkeys(("MPG1", "MPEG"), "MPEG-1"),
    **dict.fromkeys(("MP42", "DIV2"), "MS MPEG-4 v2"),
    **dict.fromkeys(("MP43", "DIV3", "DIV4"), "MS MPEG-4 v3"),
    "MJPG": "Motion JPEG",
    "WMV1": "WMV 7",
    "WMV2": "WMV 8",
    "VP80": "VP8",
}
"""By what a stream's format is compressed with, in capitals."""


def is_one(head: bytes) -> bool:
    """Whether a file that begins so is one."""
    return head.startswith(b"RIFF") and head[8:12] == b"AVI "


def codecs(content: BinaryIO, size: int) -> Iterator[str]:
    """The codec of each video stream."""
    kind = b""
    at = 12
    while at + 12 <= size:
        content.seek(at)
        name, length, first = struct.unpack("<4sI4s", content.read(12))
        if name == b"LIST" and first == b"movi":
            return
        if name == b"strh":
            kind = first
        if name == b"strf" and kind == b"vids":
            content.seek(at + 8)
            code = content.read(min(length, 40))[16:20].rstrip(b"\0 ").decode("latin-1")
            yield _CODECS.get(code.upper(), f"codec {code!r}")
        at += 12 if name == b"LIST" else 8 + length + length % 2
