"""Flash Video: tags of sound, video and data one after the other (Adobe, FLV File Format 10.1)."""

from collections.abc import Iterator
from typing import BinaryIO

NAME = "FLV"
_CODECS = {2: "Sorenson H.263", 7: "H.264"}
_VIDEO = 9
_TAGS = 1000
"""Tags among which the first of video must be."""


def is_one(head: bytes) -> bool:
    """Whether a file that begins so is one."""
    return head.startswith(b"FLV\x01")


def codecs(content: BinaryIO, size: int) -> Iterator[str]:
    """The codec of the video, if there is any, as its first tag says."""
    content.seek(5)
    at = int.from_bytes(content.read(4), "big") + 4
    for _ in range(_TAGS):
        content.seek(at)
        head = content.read(12)
        if len(head) < 12:
            return
        if head[0] & 0x1F == _VIDEO:
            # Codecs added to the format later are named by four letters, and a high bit.
            number = head[11] & 0x0F
            unknown = f"codec {number!r}"
            yield unknown if head[11] & 0x80 else _CODECS.get(number, unknown)
            return
        at += 15 + int.from_bytes(head[1:4], "big")
