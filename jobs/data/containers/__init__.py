"""The containers and codecs that videos are read in, recognised by a file's content, never by its name.

Decoders silently give other frames than a file has in some containers: decord loses the first ones of MPEG transport
and program streams, and has no AV1. `READ` lists what is read, and by which decoder: of each entry, all frames of
videos with every structure of groups of pictures were compared with those that were encoded
(tests/jobs/data/test_corpus.py); everything else is refused. Nothing here decodes.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from jobs.data.containers import avi, flv, matroska, mp4, streams

Decoders = tuple[str, ...]
"""By whom a video is read, and to whom that one hands over what it should not, or cannot, read. PyAV has a current
FFmpeg and converts only the frames wanted. decord, which read everything before, comes first where PyAV's frames have
other bytes, as inverse transforms differ."""
_PYAV: Decoders = ("PyAV",)
_PYAV_FIRST: Decoders = ("PyAV", "decord")
_DECORD_FIRST: Decoders = ("decord", "PyAV")

READ: dict[str, dict[str, Decoders]] = {
    mp4.NAME: {
        **dict.fromkeys(("H.264", "HEVC", "VP9", "MPEG-2", "MPEG-1", "Motion JPEG"), _PYAV_FIRST),
        "AV1": _PYAV,
        "MPEG-4": _DECORD_FIRST,
    },
    matroska.NAME: {
        **dict.fromkeys(("H.264", "HEVC", "VP8", "VP9", "MPEG-2", "MPEG-1", "Motion JPEG"), _PYAV_FIRST),
        "AV1": _PYAV,
        "MPEG-4": _DECORD_FIRST,
    },
    avi.NAME: {
        **dict.fromkeys(("H.264", "MPEG-2", "MPEG-1", "Motion JPEG"), _PYAV_FIRST),
        **dict.fromkeys(("WMV 7", "WMV 8", "VP8"), _PYAV),
        **dict.fromkeys(("MPEG-4", "MS MPEG-4 v2", "MS MPEG-4 v3"), _DECORD_FIRST),
    },
    flv.NAME: dict.fromkeys(("H.264", "Sorenson H.263"), _PYAV_FIRST),
    **{name: dict.fromkeys(codecs, _PYAV) for name, codecs in streams.CODECS.items()},
}
"""Decoders, the one to take first, by container and codec."""
_FORMATS = (mp4, matroska, avi, flv)
_DEMUXERS = {mp4.NAME: "mov", matroska.NAME: "matroska", avi.NAME: "avi", flv.NAME: "flv", **streams.DEMUXERS}
_OTHERS = (
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

    @property
    def decoders(self) -> Decoders:
        """Those that read all of its codecs, the one to take first in front: of several tracks it is not known here
        which one a decoder takes, so what is not first for all of them comes last."""
        each = [READ[self.name][codec] for codec in self.codecs]
        both = [name for name in each[0] if all(name in others for others in each)]
        return tuple(sorted(both, key=lambda name: max(decoders.index(name) for decoders in each)))

    @property
    def demuxer(self) -> str | None:
        """FFmpeg's name of the format; None where it is to find out."""
        return _DEMUXERS.get(self.name)


def identify(content: BinaryIO, size: int) -> Container:
    """What `content`, a file of `size` bytes, is; without codecs where only a demuxer can name them. NotRead for
    formats that are not read; ValueError, in words about the file, for one that is cut short."""
    content.seek(0)
    head = content.read(4096)
    for form in _FORMATS:
        if form.is_one(head):
            flip = mp4.flipped(content, size) if form is mp4 else None
            return Container(form.NAME, tuple(form.codecs(content, size)), flip)
    for what, looks in _OTHERS:
        if looks(head):
            raise NotRead(f"{what}: {REMUX}")
    name = streams.kind(head)
    streams.check_whole(name, head, size)
    return Container(name)


def check_read(container: Container) -> None:
    """NotRead where a file is in no container that is known, says no codec, or one that is not read in it."""
    if not container.name:
        raise NotRead(f"not a video, or in a container that is not read: {REMUX}")
    if not container.codecs:
        raise NotRead(f"its codec is not named where {container.name} files have it: {REMUX}")
    if others := [one for one in container.codecs if one not in READ[container.name]]:
        raise NotRead(
            f"{others[0]} in {container.name}, for which no frames were compared with another decoder: {RECODE}"
        )


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
