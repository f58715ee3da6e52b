"""Files as FFmpeg opens them through PyAV, and what it says meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs.data.containers import Container
from jobs.data.decoding.faults import Unreadable, damaged, is_damage

if TYPE_CHECKING:
    import av
    from av.container import InputContainer


_NAMES = {
    "h264": "H.264",
    "hevc": "HEVC",
    "av1": "AV1",
    "vp8": "VP8",
    "vp9": "VP9",
    "theora": "Theora",
    "mpeg4": "MPEG-4",
    "mpeg2video": "MPEG-2",
    "mpeg1video": "MPEG-1",
    "msmpeg4": "MS MPEG-4 v3",
    "msmpeg4v3": "MS MPEG-4 v3",
    "wmv1": "WMV 7",
    "wmv2": "WMV 8",
    "wmv3": "WMV 9",
    "vc1": "VC-1",
}
"""Codecs by FFmpeg's names."""


class Reports:
    """What FFmpeg has said so far."""

    def __init__(self, messages: list[tuple[int, str, str]]) -> None:
        self._messages = messages
        self._seen = 0

    def check(self, pictures: bool = True) -> None:
        """Raise Unreadable if damage has been reported since the last time: to the container or, unless `pictures` is
        false, to what it holds."""
        while self._seen < len(self._messages):
            _, source, text = self._messages[self._seen]
            self._seen += 1
            if is_damage(source, text, pictures):
                raise Unreadable(damaged(text.strip()))


@contextmanager
def listening() -> Iterator[Reports]:
    """Hear what FFmpeg reports in this thread while this is open, and have its errors told as Unreadable. What PyAV
    hears at all is set for the whole process, and stays."""
    import av

    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # a report like the one before may be of another file
    with av.logging.Capture() as messages:
        reports = Reports(messages)
        try:
            yield reports
        except av.FFmpegError as error:
            reports.check()
            raise Unreadable(f"no frames could be read: {error.strerror}") from None


@contextmanager
def opened(file: str, container: Container) -> "Iterator[tuple[InputContainer, av.VideoStream]]":
    """A file and its video stream, to be decoded in this thread. Raises Unreadable."""
    import av

    try:
        # By the demuxer of what the content is, as a playlist, say, could have any other file opened.
        options = {"protocol_whitelist": "file"}
        content = av.open(f"file:{file}", format=container.demuxer, options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        raise Unreadable(f"not a video: {error.strerror}") from None
    with content:
        stream = content.streams.best("video")
        if not isinstance(stream, av.VideoStream):
            raise Unreadable("no video stream")
        if stream.codec_context is None:
            raise Unreadable("its codec is not known")
        stream.codec_context.thread_count = 1
        if container.codecs == ("Motion JPEG",):
            # Its pictures do not need each other, so that there is no sound one that begins with errors.
            stream.codec_context.options = {"err_detect": "explode"}
        yield content, stream


def codecs(file: str, container: Container) -> tuple[str, ...]:
    """The codec of the video stream of a file whose demuxer has to name it. Raises Unreadable."""
    with listening(), opened(file, container) as (_, stream):
        name = stream.codec_context.codec.canonical_name
        return (_NAMES.get(name, f"codec {name!r}"),)
