"""Decoder processes that may be lost: a video that crashes or hangs its decoder costs that video only.

The public scripts decode in the process that runs the model, where one file that makes the decoder crash ends the job.
Here each decoder is a fresh interpreter, without torch, which random erasing alone brings along. It answers one
request at a time over a socket; when it dies or no frame comes in time, the video is named unreadable and a new decoder
takes its place.
"""

import contextlib
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Generic, Self, TypeVar, overload

from jobs.data.alive import tell
from jobs.data.decoding.faults import LogLost, Unreadable
from jobs.data.reader import read_video
from jobs.data.requests import Request, Video

Key = TypeVar("Key")
Wanted = TypeVar("Wanted")
Answer = TypeVar("Answer")
Decode = Callable[[str, Wanted], Answer]
"""Turns a file into what the caller wants of it, or raises Unreadable."""

# A decoder counts as one core; what it loads of NumPy's or torch's kernels would take all.
_ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# SLURM and terminals signal whole process groups. Whether to stop is this process's decision, so a decoder is born with
# these blocked: one that died of them would be mistaken for one that crashed on its video.
_FOR_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class DecodePool(Generic[Wanted, Answer]):
    """`workers` decoder processes that give a video up after `timeout_s` seconds without a frame. Use as a context
    manager.

    `ahead` videos (default: two a worker) are decoded or being decoded beyond those taken from `read`, so this bounds
    the memory. `decode` is the function that the decoders run; they must be able to import it, and what it returns must
    be picklable.
    """

    @overload
    def __init__(self: "DecodePool[Request, Video]", workers: int, timeout_s: float, ahead: int = 0) -> None: ...

    @overload
    def __init__(self, workers: int, timeout_s: float, ahead: int = 0, *, decode: Decode[Wanted, Answer]) -> None: ...

    def __init__(self, workers: int, timeout_s: float, ahead: int = 0, decode: Decode[Any, Any] = read_video) -> None:
        if workers < 1:
            raise ValueError(f"decoding needs at least one worker, not {workers}")
        self.workers = workers
        self._ahead = max(ahead or 2 * workers, workers)
        self._timeout_s = timeout_s
        self._closed = threading.Event()
        self._decoders: list[_Decoder[Wanted, Answer]] = [_Decoder(decode, self._closed) for _ in range(workers)]
        self._idle: queue.SimpleQueue[_Decoder[Wanted, Answer]] = queue.SimpleQueue()
        for decoder in self._decoders:
            self._idle.put(decoder)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decoder")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the decoders, whatever their state."""
        self._closed.set()
        # Before the decoders end: a thread that is set free by that must not take up another question.
        self._threads.shutdown(wait=False, cancel_futures=True)
        for decoder in self._decoders:
            decoder.kill()
        self._threads.shutdown()

    def submit(self, file: str, request: Wanted) -> Future[Answer | Unreadable]:
        """What a decoder will have made of `file`, or the reason why it cannot be read; asked for in turn.

        Only the caller bounds how many are under way, by taking the answers. A future raises RuntimeError
        where a decoder cannot begin and LogLost where it cannot tell damage, and is cancelled when the pool is closed
        before its turn.
        """
        return self._threads.submit(self._ask, file, request)

    def read(self, items: Iterable[tuple[Key, str, Wanted]]) -> Iterator[tuple[Key, Answer | Unreadable]]:
        """For each (key, file, request) in turn: the key with the answer, or with the reason why there is none."""
        waiting: deque[tuple[Key, Future[Answer | Unreadable]]] = deque()
        items = iter(items)
        try:
            while True:
                for key, file, request in islice(items, self._ahead - len(waiting)):
                    waiting.append((key, self.submit(file, request)))
                if not waiting:
                    return
                key, future = waiting.popleft()
                yield key, future.result()
        finally:
            for _, future in waiting:
                future.cancel()

    def _ask(self, file: str, request: Wanted) -> Answer | Unreadable:
        decoder = self._idle.get()
        try:
            return decoder.ask(file, request, self._timeout_s)
        finally:
            self._idle.put(decoder)


class _Decoder(Generic[Wanted, Answer]):
    """The parent's side of a decoder; the process starts when it is first needed, and again after a loss."""

    def __init__(self, decode: Decode[Wanted, Answer], closed: threading.Event) -> None:
        self._decode = decode
        self._closed = closed
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any]

    def ask(self, file: str, request: Wanted, timeout_s: float) -> Answer | Unreadable:
        """The decoder's answer for `file`; a decoder that dies, or gives no sign of life in time, is ended. Raises
        LogLost."""
        process = self._process
        if process is None or process.poll() is not None:
            process = self._start()
        try:
            self._connection.send((file, request))
            done = False
            while not done:
                if not self._connection.poll(timeout_s):
                    self.kill()
                    return Unreadable(f"no frame within {timeout_s:g} s")
                done, answer = self._connection.recv()
        except (EOFError, OSError):
            return Unreadable(f"the decoder {self._ending(process)}")
        if isinstance(answer, LogLost):
            raise answer
        return answer

    def kill(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            process, self._process = self._process, None
        if process:
            process.kill()
            # One that waits for a dead file server cannot even be killed; there is no use in waiting with it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)

    def _start(self) -> subprocess.Popen[bytes]:
        here, there = Pipe()
        # The decoder gets this process's import path, and not its main module as multiprocessing would have it:
        # that may well import torch.
        code = f"import sys; sys.path[:] = {sys.path!r}; from jobs.data import pool; pool.serve"
        command = [sys.executable, "-c", f"{code}({there.fileno()}, {os.getpid()})"]
        with self._lock:
            if self._closed.is_set():
                raise RuntimeError("the decoders have been closed")
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_PARENT)
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, pass_fds=[there.fileno()], env=os.environ | _ONE_CORE
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._process, self._connection = process, here
        there.close()
        try:
            here.send(self._decode)
            here.recv()
        except (EOFError, OSError):
            message = f"a decoder {self._ending(process)} before it could begin; its messages say why"
            raise RuntimeError(message) from None
        return process

    def _ending(self, process: subprocess.Popen[bytes]) -> str:
        """How a process that has hung up came to its end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        self.kill()
        code = process.returncode
        if code is not None and code < 0:
            return f"crashed ({signal.Signals(-code).name})"
        return f"ended (exit code {code})"


def serve(descriptor: int, parent: int) -> None:
    """Be a decoder: answer the requests on the socket `descriptor` for as long as the process `parent` lives."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()

    # Slow to import, so before the first deadline starts.
    import av  # noqa: F401  before decord, which makes the symbols of its own FFmpeg global
    import cv2
    import decord  # noqa: F401

    cv2.setNumThreads(1)
    connection: Connection[Any, Any] = Connection(descriptor)
    tell(lambda: connection.send((False, None)))
    with contextlib.suppress(EOFError, OSError):
        decode = connection.recv()
        connection.send("ready")
        while True:
            file, request = connection.recv()
            connection.send((True, _answer(decode, file, request)))


def _answer(decode: Decode[Wanted, Answer], file: str, request: Wanted) -> Answer | Unreadable | LogLost:
    try:
        return decode(file, request)
    except (Unreadable, LogLost) as error:
        return error
    except Exception as error:
        return Unreadable(f"{type(error).__name__}: {error}")


def _die_with(parent: int) -> None:
    """End this process once `parent` has, even if it is stuck in a library and however the parent ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
