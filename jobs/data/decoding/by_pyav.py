"""Reads videos with PyAV, a current FFmpeg: only frames that are wanted are converted and resized.

What FFmpeg reports of damage on the way is taken at its word, as it conceals what it cannot decode. Frames have the
bytes that decord's have; those that do not (interlaced ones, and deeper colours) are left to it where it can read
them.
"""

from collections.abc import Iterator
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

NAME = "PyAV"
_SAME = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "gbrp"})
"""Pixel formats in which frames that are not interlaced have the same bytes as decord's."""
_RIGHT_ANGLE = 90


def decode(file: str, container: Container, request: Request, num_frames: int = 0) -> Decoded:
    """The frames wanted of a video of `num_frames` frames (default: as listed). Raises Unreadable, and HandOver where
    another decoder's frames are the ones to take."""
    with listening() as reports:
        packets = Packets.of(file, container)
        reports.check()
        found = Decoded(packets.listed, 0, {})
        wanted = set(request.numbers(num_frames or packets.shown))
        convert = Converter(container, request)
        with opened(file, container) as (content, stream):
            for packet in content.demux(stream):
                for frame in _checked(packet.decode(), reports):
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
        convert = Converter(container, request)
        with opened(file, container) as (content, stream):
            coming = enumerate(packet for packet in content.demux(stream) if packet.size)
            for span in packets.spans(wanted):
                stream.codec_context.flush_buffers()
                for frame in _frames_of(span, coming, stream, reports):
                    number = numbers.get(frame.pts, -1) if frame.pts is not None else -1
                    if number in span.frames:
                        found.frames[number] = convert(frame)
        reports.check()
    return found if len(found.frames) == len(wanted) else None


def _frames_of(
    span: Span, coming: "Iterator[tuple[int, av.Packet]]", stream: "av.VideoStream", reports: Reports
) -> "Iterator[av.VideoFrame]":
    for at, packet in coming:
        if at in span.packets:
            yield from _checked(stream.codec_context.decode(packet), reports)
        else:
            reports.check(pictures=False)
        if at == span.last:
            break
    yield from _checked(stream.codec_context.decode(None), reports)


def _checked(frames: "list[av.VideoFrame]", reports: Reports) -> "Iterator[av.VideoFrame]":
    for frame in frames:
        beat()
        reports.check()
        if frame.is_corrupt:
            raise Unreadable("damaged: the decoder marked a frame as corrupt")
        yield frame


class Converter:
    """Makes RGB of frames, in the size that is asked for."""

    def __init__(self, container: Container, request: Request) -> None:
        from av.video.reformatter import VideoReformatter

        self._container = container
        self._request = request
        self._last = container.decoders[-1] == NAME
        self._reformatter: VideoReformatter = VideoReformatter()

    def __call__(self, frame: "av.VideoFrame") -> np.ndarray:
        """(H, W, 3) uint8. Raises HandOver, and Unreadable where frames are turned by an odd angle."""
        turned = f"its frames are to be turned by {frame.rotation}°" if frame.rotation % _RIGHT_ANGLE else ""
        if turned and self._last:
            raise Unreadable(turned)
        if not self._last and (turned or frame.interlaced_frame or frame.format.name not in _SAME):
            raise HandOver
        rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(rgb.height, plane.line_size)
        pixels = rows[:, : 3 * rgb.width].reshape(rgb.height, rgb.width, 3)
        if frame.rotation:
            pixels = np.ascontiguousarray(np.rot90(pixels, frame.rotation // _RIGHT_ANGLE))
        return resized(pixels, self._request, self._container.flip)
