"""Reads the frames of one video, or says why it cannot be read.

Decoders silently serve damaged videos: FFmpeg conceals what it cannot decode. So an evaluation reads a video front to
back, to its end whatever the views need, and what FFmpeg reports on the way is taken at its word; whether a video
counts as readable then never depends on the views asked for. A training reads only the parts that its clips are in.

Only containers and codecs are read of which all frames were compared with those that were encoded, by the decoder that
`containers.READ` has for them. A video that shows fewer frames than its file lists is read only where the file itself
says why: by an edit list in MP4, and by VP8's invisible frames in Matroska.
"""

import os
import stat
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from jobs.data.containers import Container, NotRead, check_read, identify, matroska, mp4, shown_frames, streams
from jobs.data.decoding import by_decord, by_pyav
from jobs.data.decoding.decoded import Decoded
from jobs.data.decoding.faults import HandOver, Unreadable
from jobs.data.decoding.ffmpeg import codecs, listening, opened
from jobs.data.requests import Request, Video

# cv2, decord and PyAV are imported where they are used: a process that only asks decoders for videos loads none.

Decode = Callable[..., Decoded]
"""Of a file, its container, a request and, if that is known, the number of frames."""
DECODERS: dict[str, Decode] = {by_pyav.NAME: by_pyav.decode, by_decord.NAME: by_decord.decode}
"""By the names that `containers.READ` has for them."""


def read_video(file: str | Path, request: Request) -> Video:
    """Read the frames that `request` asks for, resized bilinearly, of a video that is decoded to its end.

    Only the resized frames wanted are kept in memory. The standard error of the whole process may be redirected while
    reading, so this belongs in a separate process: see pool.py. Raises Unreadable, and LogLost.
    """
    return _whole(str(file), check_file(file), request)


def read_spans(file: str | Path, request: Request) -> Video:
    """As `read_video`, of only the parts of the file that the frames are in, wherever these are known to have the
    frames of the whole."""
    container = check_file(file)
    if container.decoders[0] == by_pyav.NAME and container.name in (mp4.NAME, matroska.NAME):
        try:
            decoded = by_pyav.decode_spans(str(file), container, request)
        except HandOver:
            decoded = None
        if decoded:
            _check_count(file, container, decoded)
            return _video(decoded, request, by_pyav.NAME)
    return _whole(str(file), container, request)


def _whole(file: str, container: Container, request: Request) -> Video:
    """By the first decoder that does not hand over; what all hand over is PyAV's."""
    turns: list[tuple[str, Decode]] = [(name, DECODERS[name]) for name in container.decoders]
    if container.decoders[-1] == by_pyav.NAME:
        turns.pop()
    turns.append((by_pyav.NAME, partial(by_pyav.decode, last=True)))
    for name, decode in turns:
        try:
            decoded, passes = decode(file, container, request), 1
            _check_count(file, container, decoded)
            if not decoded.frames.keys() >= set(request.numbers(decoded.shown)):
                decoded, passes = decode(file, container, request, decoded.shown), 2
        except HandOver:
            continue
        return _video(decoded, request, name, passes)
    raise AssertionError("PyAV hands nothing over when it is the last")


def _video(decoded: Decoded, request: Request, decoder: str, passes: int = 1) -> Video:
    wanted = request.numbers(decoded.shown)
    frames = np.stack([decoded.frames[number] for number in wanted])
    return Video(decoded.shown, np.array(wanted), frames, decoder, passes)


def _check_count(file: str | Path, container: Container, decoded: Decoded) -> None:
    """Unreadable where fewer frames come than the file lists, unless it says itself why."""
    shown, listed = decoded.shown, decoded.listed
    if listed < 2:
        raise Unreadable("a single frame, not a video")
    if shown < listed:
        with open(file, "rb") as content:
            explained = shown_frames(container, content, os.fstat(content.fileno()).st_size, listed)
        if explained != shown:
            unknown = explained in (None, listed)
            why = "the file gives no known reason" if unknown else f"its index accounts for {explained}"
            raise Unreadable(f"only {shown} of the {listed} frames that the file lists are shown, and {why}")


def check_file(file: str | Path) -> Container:
    """What a file says of itself; Unreadable for what can be seen without decoding. Nothing waits for a pipe or
    device."""
    try:
        info = os.stat(file)
        if not stat.S_ISREG(info.st_mode):
            raise Unreadable(f"{_KINDS.get(stat.S_IFMT(info.st_mode), 'a special file')}, not a file")
        if info.st_size == 0:
            raise Unreadable("an empty file")
        with open(file, "rb") as content:
            container = identify(content, info.st_size)
        if container.name in streams.CODECS:
            container = replace(container, codecs=codecs(str(file), container))
        if container.name and not container.codecs:
            with listening(), opened(str(file), container):
                pass  # it may be no video at all
        check_read(container)
        return container
    except NotRead as error:
        raise Unreadable(str(error)) from None
    except (struct.error, IndexError) as error:
        raise Unreadable("damaged: the description of its tracks cannot be parsed") from error
    except (OSError, ValueError) as error:
        raise Unreadable(getattr(error, "strerror", None) or str(error)) from error


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}
