"""Reads videos with PyAV, a current FFmpeg: only frames that are wanted are converted and resized.

What FFmpeg reports of damage on the way is taken at its word, as it conceals what it cannot decode. Frames have the
bytes that decord's have, those of the scale filter of `ffmpeg`; deeper colours do not, and are left to decord where it
can read them.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from jobs.data.alive import beat
from jobs.data.containers import Container
from jobs.data.decoding.decoded import Decoded, resized
from jobs.data.decoding.faults import HandOver, Unreadable
from jobs.data.decoding.ffmpeg import Reports, listening, opened
from jobs.data.decoding.packets import Packets, Span
from jobs.data.requests import Request

if TYPE_CHECKING:
    import av
    from av.filter import Graph

NAME = "PyAV"
_SAME = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "gbrp"})
"""Pixel formats in which frames that are not interlaced have the same bytes as decord's."""
_RIGHT_ANGLE = 90


def decode(file: str, container: Container, request: Request, num_frames: int = 0, last: bool = False) -> Decoded:
    """The frames wanted of a video of `num_frames` frames (default: as many as its packets promise). Raises Unreadable,
    and, unless this is the `last` decoder, HandOver where another one's frames are to be taken; neither depends on
    which frames are wanted."""
    with listening() as reports:
        packets = Packets.of(file, container)
        reports.check()
        found = Decoded(packets.listed, 0, {})
        wanted = set(request.numbers(num_frames or packets.shown))
        with opened(file, container) as (content, stream):
            convert = Converter(container, request, stream, last)
            for packet in content.demux(stream):
                for frame in _checked(packet.decode(), reports, convert):
                    if found.shown in wanted:
                        found.frames[found.shown] = convert(frame)
                    found.shown += 1
        reports.check()
    return found


def decode_spans(file: str, container: Container, request: Request) -> Decoded | None:
    """As `decode`, of only the parts of a file that the frames wanted are in, and so without a sign of damage
    elsewhere; `shown` is what the container means to show. None for files of which no part can be decoded alone."""
    with listening() as reports:
        packets = Packets.of(file, container)
        reports.check(pictures=False)
        wanted, numbers = request.numbers(packets.shown), packets.numbers()
        found = Decoded(packets.listed, packets.shown, {})
        if not (spans := packets.spans(wanted)):
            return None
        with opened(file, container) as (content, stream):
            convert = Converter(container, request, stream, last=container.decoders == (NAME,))
            coming = enumerate(packet for packet in content.demux(stream) if packet.size)
            for span in spans:
                stream.codec_context.flush_buffers()
                last = -1
                for frame in _checked(_frames_of(span, coming, stream, reports), reports, convert):
                    number = numbers.get(frame.pts, -1) if frame.pts is not None else -1
                    if number < last:
                        return None  # its times are not those at which frames are shown
                    last = number
                    if number in span.frames:
                        found.frames[number] = convert(frame)
        reports.check()
    return found if len(found.frames) == len(wanted) else None


def _frames_of(
    span: Span, coming: "Iterator[tuple[int, av.Packet]]", stream: "av.VideoStream", reports: Reports
) -> "Iterator[av.VideoFrame]":
    for at, packet in coming:
        beat()
        if at in span.packets:
            yield from stream.codec_context.decode(packet)
        else:
            reports.check(pictures=False)
        if at == span.last:
            break
    yield from stream.codec_context.decode(None)


def _checked(frames: "Iterable[av.VideoFrame]", reports: Reports, convert: "Converter") -> "Iterator[av.VideoFrame]":
    for frame in frames:
        beat()
        reports.check()
        if frame.is_corrupt:
            raise Unreadable("damaged: the decoder marked a frame as corrupt")
        convert.check(frame)
        yield frame


class Converter:
    """Makes RGB of frames, in the size that is asked for."""

    def __init__(self, container: Container, request: Request, stream: "av.VideoStream", last: bool) -> None:
        from av.video.reformatter import VideoReformatter

        self._container = container
        self._request = request
        self._stream = stream
        self._last = last
        self._size = stream.codec_context.width, stream.codec_context.height
        self._reformatter = VideoReformatter()
        self._graph: Graph | None = None

    def check(self, frame: "av.VideoFrame") -> None:
        """Raise HandOver for frames that another decoder is to read, Unreadable where there is none."""
        problem = ""
        if (frame.width, frame.height) != self._size:
            sizes = [f"{width} × {height}" for width, height in (self._size, (frame.width, frame.height))]
            problem = f"its frames change from {' to '.join(sizes)} pixels"
        elif frame.rotation % _RIGHT_ANGLE:
            problem = f"its frames are to be turned by {frame.rotation}°"
        if problem and self._last:
            raise Unreadable(problem)
        if problem or (not self._last and frame.format.name not in _SAME):
            raise HandOver

    def __call__(self, frame: "av.VideoFrame") -> np.ndarray:
        """(H, W, 3) uint8 of a frame that was checked."""
        rgb = self._rgb(frame)
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(rgb.height, plane.line_size)
        pixels = rows[:, : 3 * rgb.width].reshape(rgb.height, rgb.width, 3)
        if frame.rotation:
            pixels = np.ascontiguousarray(np.rot90(pixels, frame.rotation // _RIGHT_ANGLE))
        return resized(pixels, self._request, self._container.flip)

    def _rgb(self, frame: "av.VideoFrame") -> "av.VideoFrame":
        import av

        try:
            if frame.format.name in _SAME and not frame.interlaced_frame:
                return self._reformatter.reformat(frame, format="rgb24", threads=1)
            # PyAV's own conversion takes the fields of an interlaced frame apart, which `ffmpeg` does not.
            if not self._graph:
                self._graph = _scale(self._stream)
            self._graph.push(frame)
            scaled = self._graph.pull()
        except av.FFmpegError:
            if self._last:
                raise
            raise HandOver from None  # of a colour space that its FFmpeg does not convert
        assert isinstance(scaled, av.VideoFrame)
        return scaled


def _scale(stream: "av.VideoStream") -> "Graph":
    """The filter with which `ffmpeg` converts frames."""
    from av import filter

    graph = filter.Graph()
    graph.link_nodes(
        graph.add_buffer(template=stream),
        graph.add("scale"),
        graph.add("format", "pix_fmts=rgb24"),
        graph.add("buffersink"),
    )
    graph.configure()
    return graph
