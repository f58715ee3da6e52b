"""Why a video cannot be read, and which of FFmpeg's messages mean damage: both decoders are FFmpeg within."""

import re


class Unreadable(Exception):
    """A video that cannot be read; the text is the reason, fit for a report."""


class LogLost(OSError):
    """What the decoder says of damage cannot be kept: this machine can read no video soundly, whichever it is."""


class HandOver(Exception):
    """A video in which this decoder's frames were not shown to be right: another one's turn."""


# What FFmpeg calls an error and is damage. Left out on purpose is what it says of sound streams that begin between key
# frames ("mmco: unref short failure", "co located POCs unavailable", "Missing reference picture", "number of reference
# frames exceeds max (probably corrupt input)"), of odd metadata, and of audio.
_CONTAINERS = re.compile(r"mov,|matroska,|avi$|flv$|mpeg$|mpegts$|ogg$|asf$")
_CONTAINER_DAMAGE = re.compile(
    r"partial file|read error|truncated|ended prematurely|invalid as first byte|exceeds containing", re.I
)
_AUDIO = re.compile(r"aac|mp[123]|opus|vorbis|e?ac3|flac|pcm|amr|wma")
_STREAM_DAMAGE = re.compile(
    r"error while decoding|error at mb|error splitting|decode_slice_header error|no frame!|cabac decode of|damaged"
    r"|unavailable for requested|could not find ref|slice end not reached|truncated packet|truncated or corrupt"
    r"|non-existing|invalid|illegal|out of range|overflow",
    re.I,
)
_HARMLESS = re.compile(r"probably corrupt input|\bSEI\b")


def is_damage(source: str, text: str, pictures: bool = True) -> bool:
    """Whether what FFmpeg reports as an error of `source`, a part of its own, is damage to the container or, with
    `pictures`, to the video stream."""
    if _AUDIO.match(source) or _HARMLESS.search(text):
        return False
    if _CONTAINERS.match(source):
        return bool(_CONTAINER_DAMAGE.search(text))
    return pictures and bool(_STREAM_DAMAGE.search(text))


def damaged(report: str) -> str:
    """The reason why a video of which a decoder said `report` is not read."""
    return f"damaged: the decoder reported {report!r}"
