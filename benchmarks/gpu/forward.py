"""Forward passes: clips/s, latency, memory, share of the card's product rate, speed-up against FLOPs, own share."""

from collections.abc import Callable
from functools import partial
from statistics import fmean, median

import torch
from torch import Tensor

from benchmarks.forward import DTYPES, clips_that_repeat, square, timed_stages
from benchmarks.gpu.machine import clocks_during
from benchmarks.gpu.place import Place, Result
from jobs.node.device import autocast, ready_model
from jobs.work.timing import attention_run, peak_memory
from models import count_flops
from models.architecture import Architecture
from models.catalog import architecture
from models.reduction import reduction_on
from models.video_model import VideoModel

REDUCTIONS = ["none", "sta:r=48", "sta:r=64", "tome:gflops=sta:r=64", "rlt:tau=0.1"]
SMALL = ["none", "sta:r=12", "sta:r=16", "tome:gflops=sta:r=16", "rlt:tau=0.1"]
HEADERS = [
    "model", "precision", "batch", "reduction", "clips/s", "latency ms", "GiB", "of the product rate", "faster",
    "fewer FLOPs", "of that", "own share %", "attention",
]  # fmt: skip


def run(place: Place) -> None:
    result = place.table("Forward passes, each beside a large square product and r = 0, in turns", *HEADERS)
    for precision in place.precisions:
        product = square(DTYPES[precision], place.device)
        for name in ("vit_demo",) if place.small else ("vit_large", "vit_base"):
            model = ready_model(name, architecture(name).num_classes, torch.device(place.device), precision=precision)
            for batch in (1, 2) if place.small else (32, 1):
                what = f"{name}, {precision}, batch {batch}"
                rows = partial(_rows, place, result, model, name, precision, batch, *product)
                place.attempt(result, what, 5, rows)


@torch.inference_mode()
def _rows(
    place: Place,
    result: Result,
    model: VideoModel,
    name: str,
    precision: str,
    batch: int,
    product: Callable[[], object],
    work: float,
) -> None:
    arch, device = model.arch, torch.device(place.device)
    noise = torch.randn(batch, 3, arch.frames, arch.image, arch.image, device=device)
    reductions = SMALL if place.small else REDUCTIONS
    repeating = _repeating(batch, arch, reductions[2]).to(device)

    def forward(reduction: str) -> Callable[[], Tensor]:
        def call() -> Tensor:
            model.set_reduction(reduction)
            with autocast(precision, device):
                return model(repeating if model.reduction.by_content else noise)

        return call

    costs = {one: _cost(model, one, repeating, precision) for one in reductions}
    times = place.turns({"": product} | {one: forward(one) for one in reductions}, 10)
    rate = work / median(times[""])
    result.note(f"{name}, {precision}, batch {batch}: the product ran at {rate:.3e} multiply-adds/s")
    if place.device == "cuda":
        result.note(f"{name}, {precision}, batch {batch}, r = 0: {clocks_during(forward(reductions[0]))}")
    for one in reductions:
        share = median(_own_share(place, forward(one)) for _ in range(1 if place.small else 5))
        model.set_reduction(one)
        clips = repeating if model.reduction.by_content else noise
        gib = _peak_gib(model, clips, precision)
        seconds, others = median(times[one]), zip(times[reductions[0]], times[""], times[one], strict=True)
        plain, rates = zip(*((p / t, batch * costs[one] / t * s / work) for p, s, t in others), strict=True)
        faster, of_rate, fewer = median(plain), median(rates), costs[reductions[0]] / costs[one]
        latency = f"{1000 * seconds:.2f}" if batch == 1 else ""
        result.add(
            name, precision, batch, one, f"{batch / seconds:.1f}", latency, f"{gib:.3g}", f"{of_rate:.2f}",
            f"{faster:.2f}", f"{fewer:.2f}", f"{faster / fewer:.2f}", f"{share:.1f}",
            ", ".join(one.lstrip("_") for one in attention_run(model, clips, precision)),
        )  # fmt: skip
        if (name, precision, batch) == ("vit_large", place.precisions[0], 32):
            if one == "none":
                result.goal("ViT-L r = 0, share of the product rate", of_rate, 0.6)
            if one == "sta:r=64":
                result.goal("STA's speed-up as a share of the FLOPs ratio, r = 64", faster / fewer, 0.9)
                result.goal("100 - STA's own share in % of the forward pass", 100 - share, 97)


def _own_share(place: Place, forward: Callable[[], object]) -> float:
    """Of a forward pass, the share in % of the reduction's stages."""
    with timed_stages(place.device) as spent:
        whole = place.seconds(forward)
    return 100 * sum(spent) / whole


def _peak_gib(model: VideoModel, clips: Tensor, precision: str) -> float:
    """With the model and its clips, without what else is kept on the device."""
    own = sum(one.nbytes for one in (*model.parameters(), *model.buffers(), clips))
    others = torch.cuda.memory_allocated() - own if clips.is_cuda else 0
    return (peak_memory(model, clips, precision) - others) / 2**30


def _repeating(batch: int, arch: Architecture, costly: str) -> Tensor:
    """Clips on which RLT costs as much as the reduction `costly`; of several clips, half keep fewer tokens and half
    more, as then they are packed."""
    whole, target = arch.slots * arch.tokens_per_slot, reduction_on(costly, arch).multiply_adds(arch)
    assert target is not None
    alike = min(range(1, whole + 1), key=lambda left: abs(arch.multiply_adds([(left, left)] * arch.depth) - target))
    parts = ((1, 1.0),) if batch == 1 else ((batch // 2, 0.9), (batch - batch // 2, 1.1))
    return torch.cat([clips_that_repeat(count, arch, share * alike / whole) for count, share in parts])


def _cost(model: VideoModel, reduction: str, repeating: Tensor, precision: str) -> int:
    model.set_reduction(reduction)
    with autocast(precision, repeating.device):
        if not model.reduction.by_content:
            return count_flops(model)
        return round(fmean(count_flops(model, clip=clip[None]) for clip in (repeating[0], repeating[-1])))
