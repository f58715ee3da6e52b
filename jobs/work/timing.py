"""What one forward pass takes: its time, its memory, and which kernels it ran."""

import statistics
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from jobs.node.device import autocast
from jobs.spec.jobs import WARM_UP_MAX, WARM_UP_MIN
from models.video_model import VideoModel

STABLE = 0.02
"""The warm-up ends when the medians of two neighbouring windows of five differ by less than this share."""


def timed_forward(model: nn.Module, precision: str) -> Callable[[Tensor], float]:
    """A function that takes clips forward and returns the seconds that took, by CUDA events on a GPU."""

    @torch.inference_mode()
    def on_gpu(video: Tensor) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        with autocast(precision, video.device):
            model(video)
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000

    @torch.inference_mode()
    def on_cpu(video: Tensor) -> float:
        start = time.perf_counter()
        with autocast(precision, video.device):
            model(video)
        return time.perf_counter() - start

    return on_gpu if next(model.parameters()).is_cuda else on_cpu


def stable_warm_up(step: Callable[[], float]) -> Iterator[float]:
    """Run `step` until its time is stable, yielding each time."""
    times: list[float] = []
    while len(times) < WARM_UP_MAX:
        times.append(step())
        yield times[-1]
        before, now = statistics.median(times[-10:-5] or [0.0]), statistics.median(times[-5:])
        if len(times) >= WARM_UP_MIN and abs(now - before) < STABLE * before:
            return


class AttentionRun(TorchDispatchMode):
    """Notes which operators of attention run while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self._names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.scaled_dot_product_attention.default:
            with self:  # in inference mode it comes whole, before it has chosen
                return func.decompose(*args, **(kwargs or {}))
        self._names.add(func.__name__.partition(".")[0])
        return func(*args, **(kwargs or {}))

    def operators(self) -> list[str]:
        """Their names; `math` where attention ran as plain products."""
        return sorted(name for name in self._names if "attention" in name) or ["math"]


@torch.no_grad()
def attention_run(model: VideoModel, video: Tensor, precision: str) -> list[str]:
    """The names of the attention operators that one forward pass runs; uncompiled, as compiled code does not show them,
    and code that is met under such a mode may never be compiled."""
    with model.uncompiled(), AttentionRun() as run, autocast(precision, video.device):
        model(video)
    return run.operators()


@torch.inference_mode()
def peak_memory(model: nn.Module, video: Tensor, precision: str) -> int:
    """The most bytes at a time during a forward pass, weights and clips included: on a GPU as its allocator counts
    them, on a CPU of the tensors that are alive."""
    if video.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        with autocast(precision, video.device):
            model(video)
        return torch.cuda.max_memory_allocated()
    with _Alive([*model.parameters(), *model.buffers(), video]) as alive, autocast(precision, video.device):
        model(video)
    return alive.most


class _Alive(TorchDispatchMode):
    """Adds up the bytes of the tensors that are alive."""

    def __init__(self, there: list[Tensor]) -> None:
        super().__init__()
        self.now = self.most = 0
        self._seen: set[int] = set()
        for tensor in there:
            self._note(tensor)

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, tuple | list) else (out,):
            if isinstance(one, Tensor):
                self._note(one)
        return out
