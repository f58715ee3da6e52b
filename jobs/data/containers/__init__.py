"""The containers and codecs that videos are read in, recognised by a file's content, never by its name.

decord silently gives other frames than a file has in some containers. Of those listed here, all frames of videos
with every structure of groups of pictures were compared with an independent decode (tests/jobs/data/test_corpus.py);
everything else is refused. Nothing here decodes.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from jobs.data.containers import avi, flv, matroska, mp4

COMPARED: dict[str, frozenset[str]] = {
    mp4.NAME: frozenset({"H.264", "HEVC", "VP9", "MPEG-4", "MPEG-2", "MPEG-1", "Motion JPEG"}),
    matroska.NAME: frozenset({"H.264", "HEVC", "VP8", "VP9", "MPEG-4", "MPEG-2", "MPEG-1", "Motion JPEG"}),
    avi.NAME: frozenset({"H.264", "MPEG-4", "MPEG-2", "MPEG-1", "Motion JPEG", "MS MPEG-4 v2", "MS MPEG-4 v3"}),
    flv.NAME: frozenset({"H.264", "Sorenson H.263"}),
}
"""Codecs by container."""
_FORMATS = (mp4, matroska, avi, flv)
_OTHERS = (
    ("an MPEG program stream, of which decord loses the first frames", lambda head: head.startswith(b"\0\0\1\xba")),
    ("an MPEG transport stream, of which decord loses the first frames", lambda head: _packets(head) > 0),
    ("an MPEG elementary stream", lambda head: head.startswith((b"\0\0\1\xb3", b"\0\0\0\1", b"\0\0\1\x67"))),
    ("an ASF (Windows Media) file", lambda head: head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")),
    ("an Ogg file", lambda head: head.startswith(b"OggS")),
    ("a RealMedia file", lambda head: head.startswith(b".RMF")),
    ("a GIF", lambda head: head.startswith(b"GIF8")),
)
"""Containers that are known and not read, by how their first bytes look."""
REMUX = "copy it into MP4 or Matroska (ffmpeg -i FILE -c copy FILE.mp4)"
RECODE = "encode it as H.264 in MP4 (ffmpeg -i FILE -c:v libx264 FILE.mp4)"


class NotRead(Exception):
    """A container or codec in which videos are not read; the text says which, and the remedy."""


@dataclass(frozen=True)
class Container:
    """What a file says of itself."""

    name: str
    """MP4, Matroska, …; empty where it is none that is known."""
    codecs: tuple[str, ...] = ()
    """Those of its video tracks, one each; none where no track was found."""
    flip: int | None = None
    """The axis of frames, 0 for rows, that must be reversed, which no decoder does; None: none."""


def identify(content: BinaryIO, size: int) -> Container:
    """What `content`, a file of `size` bytes, is. NotRead for formats that are not read; ValueError, in words about
    the file, for an MP4 that is cut short."""
    content.seek(0)
    head = content.read(4096)
    for form in _FORMATS:
        if form.is_one(head):
            codecs = tuple(form.codecs(content, size))
            if others := [one for one in codecs if one not in COMPARED[form.NAME]]:
                raise NotRead(
                    f"{others[0]} in {form.NAME}, for which no frames were compared with another decoder: {RECODE}"
                )
            return Container(form.NAME, codecs, mp4.flipped(content, size) if form is mp4 else None)
    for what, looks in _OTHERS:
        if looks(head):
            raise NotRead(f"{what}: {REMUX}")
    return Container("")


def shown_frames(container: Container, content: BinaryIO, size: int, listed: int) -> int | None:
    """How many of the frames that a file lists are to be shown by what it says itself: those within an MP4's edit list,
    and all but VP8's invisible ones in Matroska. None where it says nothing of that, or nothing that is understood."""
    try:
        if container.name == mp4.NAME:
            return mp4.shown_frames(content, size)
        if container == Container(matroska.NAME, ("VP8",)):
            return listed - matroska.hidden_frames(content, size)
    except (struct.error, IndexError, ValueError):
        pass  # it is refused as one that says nothing
    return None


def _packets(head: bytes) -> int:
    """The length of the packets of a transport stream, with what may stand before or after each; 0 for none."""
    for length, before in ((188, 0), (192, 4), (204, 0)):
        marks = head[before::length]
        if len(marks) > 3 and set(marks) == {0x47}:
            return length
    return 0
