"""Forward passes beside the machine's own matrix products, and a reduction's share of a forward pass.

    python -m benchmarks.forward [--dtype fp32,bf16] [--batch 1] [--device cuda] [--model vit_base] [--blocks N]
                                 [--reductions none sta:r=48 tome:r=65 rlt:tau=0.1] [--cpu-time]

Each repeat times a forward pass, the bare matrix products of the same shapes, and one large square product, one after
the other, so that whatever else the machine does weighs on all three; ratios are medians over the pairs.
Rates are in 10⁹ multiply-adds a second and count matrix products only.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import Tensor
from torch.overrides import TorchFunctionMode

from models import count_flops
from models.architecture import Architecture
from models.catalog import architecture
from models.forks import Fork
from models.reduction import Choice
from models.reduction._base import Place
from models.stages import Stages
from models.tokens import Tokens
from models.video_model import VideoModel

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class ProductShapes(TorchFunctionMode):
    """Notes the (batch, m, k, n) of every matrix product of the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, int, int, int]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is F.linear:
            self.shapes.append((1, args[0].shape[:-1].numel(), args[0].shape[-1], out.shape[-1]))
        elif func is torch.conv3d:
            self.shapes.append((1, out.numel() // out.shape[1], args[1][0].numel(), out.shape[1]))
        elif func is F.scaled_dot_product_attention:
            (*outer, n, d), m = args[0].shape, args[1].shape[-2]
            batch = torch.Size(outer).numel()
            self.shapes += [(batch, n, d, m), (batch, n, m, d)]
        return out


def products(shapes: list[tuple[int, int, int, int]], dtype: torch.dtype, device: str) -> Callable[[], None]:
    """A function that computes the bare products, as layers do: against transposed weights or keys."""
    calls = []
    operands: dict[tuple[int, ...], tuple[Tensor, Tensor, Tensor]] = {}
    for shape in shapes:
        b, m, k, n = shape
        if shape not in operands:
            # The second product of attention is the one whose right side, the values, is not transposed.
            right = torch.randn(b, k, n) if b > 1 and k == m else torch.randn(b, n, k).mT
            parts = torch.randn(b, m, k), right, torch.empty(b, m, n)
            operands[shape] = tuple(p.to(device, dtype) for p in parts)  # type: ignore[assignment]
        left, right, out = operands[shape]
        calls.append((torch.bmm, left, right, out) if b > 1 else (torch.mm, left[0], right[0], out[0]))

    def run() -> None:
        for multiply, left, right, out in calls:
            multiply(left, right, out=out)

    return run


def square(dtype: torch.dtype, device: str) -> tuple[Callable[[], object], float]:
    """One large square product, at least 0.2 s or 8192 wide, and its multiply-adds."""
    side = 256
    while True:
        left, right, out = (torch.randn(side, side, device=device).to(dtype) for _ in range(3))

        def run(left: Tensor = left, right: Tensor = right, out: Tensor = out) -> object:
            return torch.mm(left, right, out=out)

        run()
        if side == 8192 or seconds(run, device) > 0.2:
            return run, side**3
        side *= 2


def seconds(run: Callable[[], object], device: str) -> float:
    """Time of one call, with everything queued on a GPU finished: CPU time on one thread, wall time otherwise."""
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    synchronize(device)
    start = clock()
    run()
    synchronize(device)
    return clock() - start


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


@contextmanager
def timed_stages(device: str) -> Iterator[list[float]]:
    """A list that fills with the seconds of every stage of a reduction: scores, choice, keeping and merging."""
    spent: list[float] = []
    decide, tokens = Stages.decide, Fork.tokens

    def timed(action: Callable[[], Any]) -> Any:
        out: list[Any] = []
        spent.append(seconds(lambda: out.append(action()), device))
        return out[0]

    def timed_decide(self: Stages, place: Place, block: int, *given: Any, **more: Any) -> list[Choice | None]:
        acts = self.acts(place, block)
        found = lambda: decide(self, place, block, *given, **more)  # noqa: E731
        return timed(found) if acts else found()

    def timed_tokens(self: Fork) -> Tokens:
        return timed(lambda: tokens(self)) if any(self.choices) else tokens(self)

    with patch.object(Stages, "decide", timed_decide), patch.object(Fork, "tokens", timed_tokens):
        yield spent


def clips_that_repeat(batch: int, arch: Architecture, share: float = 0.36) -> Tensor:
    """Clips of noise of which RLT keeps `share` of the tokens: the first slot, and the patches that do not stand
    still."""
    clips = torch.randn(batch, 3, arch.frames, arch.image, arch.image)
    still = round(arch.tokens_per_slot * (1 - share) * arch.slots / (arch.slots - 1))
    columns = arch.image // arch.patch
    for place in range(still):
        rows, cols = (slice(k * arch.patch, (k + 1) * arch.patch) for k in divmod(place, columns))
        clips[:, :, 1:, rows, cols] = clips[:, :, :1, rows, cols]
    return clips


def measure(model: VideoModel, clips: Tensor, repeats: int, plain: str) -> list[str]:
    """One row of the table, from `repeats` rounds; `plain` is the reduction that it is compared with."""
    device, dtype = str(clips.device), clips.dtype
    with ProductShapes() as recorded:
        model(clips)
    forward_work = sum(b * m * k * n for b, m, k, n in recorded.shapes)
    own, (large, large_work) = products(recorded.shapes, dtype, device), square(dtype, device)
    own()
    times: dict[str, list[float]] = {"forward": [], "own": [], "large": [], "stages": [], "plain": []}
    reduction = str(model.reduction)
    for _ in range(repeats):
        model.set_reduction(plain)
        times["plain"].append(seconds(lambda: model(clips), device))
        model.set_reduction(reduction)
        before = seconds(large, device)
        with timed_stages(device) as stages:
            times["forward"].append(seconds(lambda: model(clips), device))
        times["stages"].append(sum(stages))
        times["large"].append((before + seconds(large, device)) / 2)
        times["own"].append(seconds(own, device))
    forward, giga = times["forward"], forward_work / 1e9
    to_own = median(o / f for o, f in zip(times["own"], forward, strict=True))
    to_large = median(forward_work / f / (large_work / s) for s, f in zip(times["large"], forward, strict=True))
    share = median(s / f for s, f in zip(times["stages"], forward, strict=True))
    faster = median(p / f for p, f in zip(times["plain"], forward, strict=True))
    fewer = _work(model, plain, clips) / _work(model, reduction, clips)
    return [
        f"{median(forward):.3f}",
        f"{giga / median(forward):.1f}",
        f"{giga / median(times['own']):.1f}",
        f"{to_own:.2f}",
        f"{large_work / 1e9 / median(times['large']):.1f}",
        f"{to_large:.2f}",
        f"{100 * share:.2f} %",
        f"{fewer:.2f}",
        f"{faster:.2f}",
        f"{faster / fewer:.2f}",
    ]


def _work(model: VideoModel, reduction: str, clips: Tensor) -> int:
    """Multiply-adds of the first clip under a reduction."""
    model.set_reduction(reduction)
    return count_flops(model, clip=clips[:1] if model.reduction.by_content else None)


LEGEND = """rates: 10⁹ multiply-adds a second, of matrix products alone
own products: the bare products of the forward pass's shapes; large square: one product of two square matrices
of own, of large: the forward pass's rate as a share of those, timed beside it; the aims, 0.9 in fp32 and 0.75 in bf16,
are of own products, the most this machine gives for these shapes. Weights and clips have the dtype; no autocast.
fewer FLOPs, faster: against the first reduction, timed in turn with it; clips are noise, and for reductions by content
such that RLT keeps 36 % of the tokens"""
HEADERS = [
    "", "forward s", "rate", "own products", "of own", "large square", "of large", "reduction's share", "fewer FLOPs",
    "faster", "of that",
]  # fmt: skip


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forward", description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", default="fp32,bf16", help="of fp32, bf16, fp16, separated by commas")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model", default="vit_base")
    parser.add_argument("--blocks", type=int, help="only so many blocks a level, where a whole pass takes too long")
    parser.add_argument("--reductions", nargs="+", default=["none", "sta:r=48"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true", help="CPU time of one thread, where others use the machine")
    options = parser.parse_args()
    if options.cpu_time:
        torch.set_num_threads(1)
    arch = architecture(options.model)
    if options.blocks:
        arch = replace(arch, levels=tuple(replace(level, depth=options.blocks) for level in arch.levels))
    rows = []
    for name in options.dtype.split(","):
        model = arch.network(arch.num_classes).to(options.device, DTYPES[name]).eval()
        clips = torch.randn(options.batch, 3, arch.frames, arch.image, arch.image).to(options.device, DTYPES[name])
        for reduction in options.reductions:
            model.set_reduction(reduction)
            given = clips_that_repeat(options.batch, arch).to(clips) if model.reduction.by_content else clips
            rows.append([f"{name} {reduction}", *measure(model, given, options.repeats, options.reductions[0])])
    blocks = f"{arch.depth} of {architecture(options.model).depth} blocks"
    threads = "CPU time of 1 thread" if options.cpu_time else f"{torch.get_num_threads()} threads"
    where = f"{options.device}, {threads}, torch {torch.__version__}"
    print(f"{options.model}, {blocks}, batch {options.batch}, {where}")
    print(tabulate(rows, HEADERS, disable_numparse=True))
    print(LEGEND)


if __name__ == "__main__":
    main()
