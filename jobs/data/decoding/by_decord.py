"""Reads videos with decord, front to back: its random access returns wrong frames in streams with open groups of
pictures.

decord silently serves damaged videos: FFmpeg conceals what it cannot decode, and frames missing at the end are repeats
of the last good one. So what FFmpeg reports on the way is taken at its word. It goes to the standard error of the whole
process, which is redirected while reading, so this belongs in a separate process: see pool.py.
"""

import os
import re
import sys
from typing import Self

from jobs.data.alive import beat
from jobs.data.containers import Container
from jobs.data.decoding.decoded import Decoded, resized
from jobs.data.decoding.faults import HandOver, LogLost, Unreadable, damaged, is_damage
from jobs.data.requests import Request

NAME = "decord"
_ENDLESS = "Failed to measure duration"
"""What it says of files that do not tell their length, which it does not read."""


def decode(file: str, container: Container, request: Request, num_frames: int = 0) -> Decoded:
    """The frames wanted of a video of `num_frames` frames (default: as listed). Raises Unreadable, LogLost, and
    HandOver where it does not tell its length.

    A container can list more frames than it shows: a trimmed MP4 hides those before its edit list begins. decord would
    fill up with repeats; the limit on its repeats tells where they begin.
    """
    _forget_variables()
    with _DecoderLog() as log:
        try:
            return _decode(file, container, request, num_frames, log)
        except LogLost:
            raise
        except Unreadable as error:
            reason = str(error)
        except Exception as error:
            if _ENDLESS in str(error):
                raise HandOver from None
            reason = _reason(error, log)
        # Now that the error is gone, so is its reference to the reader, whose thread would write on past the log's end.
    raise Unreadable(reason)


def _decode(file: str, container: Container, request: Request, num_frames: int, log: "_DecoderLog") -> Decoded:
    # decord makes the symbols of its own build of FFmpeg global: PyAV must have found its own before.
    import av  # noqa: F401
    import decord

    decord.logging.set_level(decord.logging.ERROR)
    reader = decord.VideoReader(file, num_threads=1, fault_tol=1e-6)
    found = Decoded(len(reader), 0, {})
    wanted = set(request.numbers(num_frames or found.listed))
    try:
        for number in range(found.listed):
            frame = reader.next()
            beat()
            log.check()
            if number in wanted:
                pixels = frame.asnumpy()
                height, width = pixels.shape[:2]
                # Where FFmpeg pads the rows of a narrow frame to a multiple of its width, decord takes the padding for
                # channels.
                pixels = pixels.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)
                found.frames[number] = resized(pixels, request, container.flip)
            found.shown += 1
    except (decord.DECORDLimitReachedError, StopIteration):
        pass  # no more frames come
    del reader  # joins the decoding thread, so that its last words are in the log
    log.check()
    log.check_itself()
    return found


def _forget_variables() -> None:
    """Have no variable of the environment decide how decord reads, or colour what FFmpeg says so that it is not
    recognised."""
    for name in [name for name in os.environ if name.startswith(("DECORD_", "AV_LOG_"))]:
        del os.environ[name]


_REPORT = re.compile(r"\[(?P<source>[\w,]+) @ 0x[0-9a-f]+\] (?P<text>.*)")
_LOST = "the decoder's reports of damage cannot be captured on this machine"
_END = "end of the decoder's log, at byte"


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
            raise Unreadable(damaged(damage))

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
    """What `line` reports, if that is damage."""
    report = _REPORT.match(line)
    return report["text"] if report and is_damage(report["source"], report["text"]) else ""


def _reason(error: Exception, log: _DecoderLog) -> str:
    """Why decord gave up, in a line without the places in its source."""
    text = str(error).partition("\n")[0]
    if "cannot find video stream" in text:
        return "no video stream"
    if damage := log.damage():
        return damaged(damage)
    if "Unable to handle EOF" in text:
        return "no frames could be read up to the end of the file"
    for line in log.lines:
        if "ERROR opening: " in line:
            return f"not a video: {line.rpartition(', ')[2]}"
    text = re.sub(r"\[\d\d:\d\d:\d\d\] \S+: |^\[.*\] ?", "", text)
    return f"no frames could be read{': ' * bool(text)}{text[:200]}"
