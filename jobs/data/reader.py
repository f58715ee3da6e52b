"""Reads the frames of one video with decord, or says why it cannot be read.

decord silently serves damaged videos: FFmpeg conceals what it cannot decode, and frames missing at the end are repeats
of the last good one. Its random access also returns wrong frames in streams with open groups of pictures. So a video is
read front to back, to its end whatever the views need, and what FFmpeg reports on the way is taken at its word;
whether a video counts as readable then never depends on the views asked for.

In MPEG transport and program streams decord silently starts at the second key frame. So only containers
and codecs are read of which all frames were compared with an independent decode, as `containers.COMPARED` lists them:
MP4 and QuickTime with H.264, HEVC, VP9, MPEG-4 (part 2), MPEG-2, MPEG-1 and Motion JPEG; Matroska and WebM with these
and VP8; AVI with H.264, MPEG-4, MPEG-2, MPEG-1, Motion JPEG, MS MPEG-4 v2 and v3; FLV with H.264 and Sorenson H.263. A
video that shows fewer frames than its file lists is read only where the file itself says why: by an edit list of one
part in MP4, and by VP8's invisible frames in Matroska.
"""

import os
import re
import stat
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from jobs.data.alive import beat
from jobs.data.containers import REMUX, Container, NotRead, identify, shown_frames
from jobs.data.views import frames_needed, resized
from jobs.spec.sampling import Sampling

# cv2 and decord are imported where they are used: a process that only asks decoders for videos loads neither, and
# decord's own build of FFmpeg stays apart from torch's and PyAV's libraries, which it does not always get on with.


class Unreadable(Exception):
    """A video that cannot be read; the text is the reason, fit for a report."""


class LogLost(OSError):
    """What the decoder says of damage cannot be kept: this machine can read no video soundly, whichever it is."""


class Request(Protocol):
    """What to read of a video."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width to which frames are resized."""

    def numbers(self, num_frames: int) -> list[int]:
        """The frames wanted of a video of `num_frames` frames, sorted, without repeats."""


@dataclass(frozen=True)
class ClipRequest:
    """The frames of every clip of the view grids, such as ("2x3", "16x3")."""

    sampling: Sampling
    grids: tuple[str, ...]
    short_side: int
    """Pixels of the shorter side after resizing."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        return resized(self.sampling, height, width, self.short_side)

    def numbers(self, num_frames: int) -> list[int]:
        return frames_needed(self.sampling, num_frames, self.grids)


@dataclass
class Video:
    """What was read of a video."""

    num_frames: int
    """Frames that the video shows, read or not."""
    numbers: np.ndarray
    """(F,) the frames read, ascending."""
    frames: np.ndarray
    """(F, H, W, 3) uint8 RGB, resized."""
    passes: int = 1
    """How often the file was decoded; twice where its container lists more frames than it shows."""


def read_video(file: str | Path, request: Request) -> Video:
    """Read the frames that `request` asks for, resized bilinearly.

    Only the resized frames wanted are kept in memory. Standard error of the whole process is redirected while reading,
    so this belongs in a separate process: see pool.py. Raises Unreadable, and LogLost.
    """
    container = check_file(file)
    _forget_variables()
    with _DecoderLog() as log:
        try:
            shown, frames = _read(file, container, request, log)
            wanted, passes = request.numbers(shown), 1
            if not frames.keys() >= set(wanted):
                _, frames = _read(file, container, request, log, shown)
                passes = 2
            return Video(shown, np.array(wanted), np.stack([frames[number] for number in wanted]), passes)
        except LogLost:
            raise
        except Unreadable as error:
            reason = str(error)
        except Exception as error:
            reason = _reason(error, log)
        # Now that the error is gone, so is its reference to the reader, whose thread would write on past the log's end.
    raise Unreadable(reason)


def _read(
    file: str | Path, container: Container, request: Request, log: "_DecoderLog", num_frames: int = 0
) -> tuple[int, dict[int, np.ndarray]]:
    """How many frames the video shows, and of those the ones wanted of a video of `num_frames` (default: as listed).

    A container can list more frames than it shows: a trimmed MP4 hides those before its edit list begins, VP8 has
    invisible reference frames. decord would fill up with repeats; the limit on its repeats tells where they begin.
    """
    import decord

    decord.logging.set_level(decord.logging.ERROR)
    reader = decord.VideoReader(str(file), num_threads=1, fault_tol=1e-6)
    check_container(container)
    listed = len(reader)
    wanted = set(request.numbers(num_frames or listed))
    frames: dict[int, np.ndarray] = {}
    shown = 0
    try:
        for number in range(listed):
            frame = reader.next()
            beat()
            log.check()
            if number in wanted:
                frames[number] = _resized(frame.asnumpy(), request, container.flip)
            shown += 1
    except (decord.DECORDLimitReachedError, StopIteration):
        pass  # no more frames come
    del reader  # joins the decoding thread, so that its last words are in the log
    log.check()
    log.check_itself()
    if listed < 2:
        raise Unreadable("a single frame, not a video")
    if shown < listed:
        with open(file, "rb") as content:
            explained = shown_frames(container, content, os.fstat(content.fileno()).st_size, listed)
        if explained != shown:
            unknown = explained in (None, listed)
            why = "the file gives no known reason" if unknown else f"its index accounts for {explained}"
            raise Unreadable(f"only {shown} of the {listed} frames that the file lists are shown, and {why}")
    return shown, frames


def check_container(container: Container) -> None:
    """Unreadable where a file is in no container that is known, or says no codec."""
    if not container.name:
        raise Unreadable(f"in a container for which no frames were compared with another decoder: {REMUX}")
    if not container.codecs:
        raise Unreadable(f"its codec is not named where {container.name} files have it: {REMUX}")


def _resized(frame: np.ndarray, request: Request, flip: int | None) -> np.ndarray:
    import cv2

    height, width = frame.shape[:2]
    # Where FFmpeg pads the rows of a narrow frame to a multiple of its width, decord takes the padding for channels.
    frame = frame.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)
    frame = frame if flip is None else np.ascontiguousarray(np.flip(frame, flip))
    size = request.size(height, width)
    return frame if size == (height, width) else cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR)


def _forget_variables() -> None:
    """Have no variable of the environment decide how decord reads, or colour what FFmpeg says so that it is not
    recognised."""
    for name in [name for name in os.environ if name.startswith(("DECORD_", "AV_LOG_"))]:
        del os.environ[name]


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
            return identify(content, info.st_size)
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


# What FFmpeg calls an error and is damage. Left out on purpose is what it says of sound streams that begin between key
# frames ("mmco: unref short failure", "co located POCs unavailable", "Missing reference picture", "number of reference
# frames exceeds max (probably corrupt input)"), of odd metadata, and of audio.
_REPORT = re.compile(r"\[(?P<source>[\w,]+) @ 0x[0-9a-f]+\] (?P<text>.*)")
_CONTAINERS = re.compile(r"mov,|matroska,|avi$|flv$|mpeg$|mpegts$|ogg$|asf$")
_CONTAINER_DAMAGE = re.compile(r"partial file|read error|truncated|invalid as first byte|exceeds containing", re.I)
_AUDIO = re.compile(r"aac|mp[123]|opus|vorbis|e?ac3|flac|pcm|amr|wma")
_STREAM_DAMAGE = re.compile(
    r"error while decoding|error at mb|error splitting|decode_slice_header error|no frame!|cabac decode of|damaged"
    r"|unavailable for requested|could not find ref|slice end not reached|truncated packet|truncated or corrupt"
    r"|non-existing|invalid|illegal|out of range|overflow",
    re.I,
)
_LOST = "the decoder's reports of damage cannot be captured on this machine"
_END = "end of the decoder's log, at byte"
_HARMLESS = re.compile(r"probably corrupt input|\bSEI\b")


class _DecoderLog:
    """While open, what FFmpeg writes to the process's standard error ends up here instead, in memory: no disk that is
    full can lose it."""

    def __enter__(self) -> Self:
        self._parsed = 0
        self._damage = ""
        self.lines: list[str] = []
        try:
            self._file = os.fdopen(os.memfd_create("decoder-log"), "r+b", buffering=0)
            sys.stderr.flush()
            self._stderr = os.dup(2)
        except OSError as error:
            raise LogLost(f"{_LOST}: {error.strerror}") from error
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(self, *error: object) -> None:
        os.dup2(self._stderr, 2)
        os.close(self._stderr)
        self._file.close()

    def check(self) -> None:
        """Raise Unreadable if damage has been reported."""
        if damage := self.damage():
            raise Unreadable(f"damaged: the decoder reported {damage!r}")

    def check_itself(self) -> None:
        """Raise LogLost if what is written to it does not get there: damage could go unseen."""
        before = os.fstat(self._file.fileno()).st_size
        end = f"{_END} {before}\n".encode()
        try:
            os.write(2, end)
            kept = os.pread(self._file.fileno(), len(end), before)
        except OSError as error:
            raise LogLost(f"{_LOST}: {error.strerror}") from error
        if kept != end:
            raise LogLost(_LOST)

    def damage(self) -> str:
        """The first report of damage so far, or nothing."""
        waiting = os.fstat(self._file.fileno()).st_size - self._parsed
        if waiting and not self._damage:
            # FFmpeg may be in the midst of a line.
            text = os.pread(self._file.fileno(), waiting, self._parsed).rpartition(b"\n")[0]
            self._parsed += len(text)
            lines = text.decode(errors="replace").split("\n")
            self.lines += lines
            self._damage = next(filter(None, map(_damage_in, lines)), "")
        return self._damage


def _damage_in(line: str) -> str:
    """What `line` reports, if that is damage to the container or to the video stream."""
    report = _REPORT.match(line)
    if not report or _AUDIO.match(report["source"]) or _HARMLESS.search(line):
        return ""
    pattern = _CONTAINER_DAMAGE if _CONTAINERS.match(report["source"]) else _STREAM_DAMAGE
    return report["text"] if pattern.search(report["text"]) else ""


def _reason(error: Exception, log: _DecoderLog) -> str:
    """Why decord gave up, in a line without the places in its source."""
    text = str(error).partition("\n")[0]
    if "cannot find video stream" in text:
        return "no video stream"
    if damage := log.damage():
        return f"damaged: the decoder reported {damage!r}"
    if "Unable to handle EOF" in text:
        return "no frames could be read up to the end of the file"
    for line in log.lines:
        if "ERROR opening: " in line:
            return f"not a video: {line.rpartition(', ')[2]}"
    text = re.sub(r"\[\d\d:\d\d:\d\d\] \S+: |^\[.*\] ?", "", text)
    return f"no frames could be read{': ' * bool(text)}{text[:200]}"
