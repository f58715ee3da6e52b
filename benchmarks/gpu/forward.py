"""Forward passes: clips/s, latency, memory, share of the card's product rate, speed-up against FLOPs; also compiled, by
CUDA graphs, and in the public way, timed in turns."""

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.forward import DTYPES, clips_that_repeat, square, timed_stages
from benchmarks.gpu.place import Place, Result
from jobs.node.device import autocast, converted
from jobs.work.timing import peak_memory
from models import count_flops, create_model
from models.video_model import VideoModel

REDUCTIONS = ["none", "sta:r=48", "sta:r=64", "tome:gflops=sta:r=64", "rlt:tau=0.1"]
SMALL = ["none", "sta:r=12", "sta:r=16", "tome:gflops=sta:r=16", "rlt:tau=0.1"]
HEADERS = [
    "model", "precision", "batch", "reduction", "clips/s", "latency ms", "GiB", "of the product rate", "faster",
    "fewer FLOPs", "of that", "own share %",
]  # fmt: skip


def run(place: Place) -> list[Result]:
    result = Result("Forward passes", HEADERS)
    ways = Result("Ways to run them, bf16", ["model", "batch", "reduction", "way", "clips/s", "against eager"])
    models = ["vit_demo"] if place.small else ["vit_large", "vit_base"]
    for precision in ("bf16",) if place.device == "cpu" else ("bf16", "fp16"):
        dtype = DTYPES[precision]
        large, large_work = square(dtype, place.device)
        rate = large_work / min(place.seconds(large) for _ in range(2 if place.small else 8))
        result.notes.append(f"a large square product in {precision}: {rate / 1e12:.2f}e12 multiply-adds/s")
        for name in models:
            model = converted(create_model(name).eval().to(place.device), precision)
            for batch in (1, 4) if place.small else (32, 1):
                if place.left < 5:
                    result.notes.append(f"left out, as time ran out: {name}, {precision}, batch {batch}")
                    continue
                _rows(place, result, model, name, precision, batch, rate)
    _ways(place, ways, models[0])
    return [result, ways]


@torch.inference_mode()
def _rows(place: Place, result: Result, model: VideoModel, name: str, precision: str, batch: int, rate: float) -> None:
    arch, device = model.arch, torch.device(place.device)
    noise = torch.randn(batch, 3, arch.frames, arch.image, arch.image, device=device)
    repeating = clips_that_repeat(batch, arch).to(device)
    reductions = SMALL if place.small else REDUCTIONS

    def forward(reduction: str) -> Callable[[], Tensor]:
        def call() -> Tensor:
            model.set_reduction(reduction)
            with autocast(precision, device):
                return model(repeating if model.reduction.by_content else noise)

        return call

    costs = {one: _cost(model, one, repeating, precision) for one in reductions}
    times: dict[str, list[float]] = {one: [] for one in reductions}
    rounds = 3 if place.small else 10
    for number in range(rounds + 2):
        for one in reductions:
            seconds = place.seconds(forward(one))
            if number >= 2:
                times[one].append(seconds)
    for one in reductions:
        with timed_stages(place.device) as spent:
            whole = place.seconds(forward(one))
        share = 100 * sum(spent) / whole
        model.set_reduction(one)
        gib = peak_memory(model, repeating if model.reduction.by_content else noise, precision) / 2**30
        seconds = median(times[one])
        faster = median(p / t for p, t in zip(times[reductions[0]], times[one], strict=True))
        fewer = costs[reductions[0]] / costs[one]
        of_rate = batch * costs[one] / seconds / rate
        latency = f"{1000 * seconds:.2f}" if batch == 1 else ""
        result.rows.append([
            name, precision, batch, one, f"{batch / seconds:.1f}", latency, f"{gib:.2f}", f"{of_rate:.2f}",
            f"{faster:.2f}", f"{fewer:.2f}", f"{faster / fewer:.2f}", f"{share:.1f}",
        ])  # fmt: skip
        if (name, precision, batch) == ("vit_large", "bf16", 32):
            if one == "none":
                result.goal("ViT-L r = 0, share of the product rate", of_rate, 0.6)
            if one == "sta:r=64":
                result.goal("STA's speed-up as a share of the FLOPs ratio, r = 64", faster / fewer, 0.9)
                result.goal("100 - STA's own share in % of the forward pass", 100 - share, 97)


def _cost(model: VideoModel, reduction: str, repeating: Tensor, precision: str) -> int:
    model.set_reduction(reduction)
    with autocast(precision, repeating.device):
        return count_flops(model, clip=repeating[:1] if model.reduction.by_content else None)


@torch.inference_mode()
def _ways(place: Place, result: Result, name: str) -> None:
    precision = "bf16"
    device, batches = torch.device(place.device), (4,) if place.small else (32, 1)
    public = PublicViT(name).eval().to(device)
    for batch in batches:
        for reduction in ("none", "sta:r=12") if place.small else ("none", "sta:r=64"):
            model = converted(create_model(name, reduction).eval().to(device), precision)
            arch = model.arch
            clips = torch.randn(batch, 3, arch.frames, arch.image, arch.image, device=device)
            ways: dict[str, Callable[[], Any]] = {"eager": lambda m=model, c=clips: _under(m, c, precision)}
            if reduction == "none":
                ways["public"] = lambda c=clips: _under(public, c, precision)
            for way, make in (("compiled", _compiled), ("CUDA graph", _graphed)):
                if place.left < 20 and not place.small:
                    result.notes.append(f"left out, as time ran out: {way}, {reduction}, batch {batch}")
                    continue
                try:
                    ways[way] = make(place, model, clips, precision)
                except Exception as error:
                    said = str(error).splitlines()[0][:160]
                    result.notes.append(
                        f"{way}, {reduction}, batch {batch}: not measured: {type(error).__name__}: {said}"
                    )
            times: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(4 if place.small else 12):
                for way, call in ways.items():
                    seconds = place.seconds(call)
                    if number >= 2:
                        times[way].append(seconds)
            for way, found in times.items():
                ratio = median(one / other for one, other in zip(times["eager"], found, strict=True))
                result.rows.append([name, batch, reduction, way, f"{batch / median(found):.1f}", f"{ratio:.2f}"])
                if way == "public" and batch == batches[0] and not place.small:
                    result.goal("clips/s against the public way, r = 0", 1 / ratio, 2)


def _under(model: nn.Module, clips: Tensor, precision: str) -> Tensor:
    with autocast(precision, clips.device):
        return model(clips)


def _compiled(place: Place, model: VideoModel, clips: Tensor, precision: str) -> Callable[[], Tensor]:
    # Tracing is rehearsed on a CPU; making code for it would take minutes.
    compiled = torch.compile(model, backend="eager" if place.device == "cpu" else "inductor", fullgraph=True)
    call = lambda: _under(compiled, clips, precision)  # noqa: E731
    call()
    return call


def _graphed(place: Place, model: VideoModel, clips: Tensor, precision: str) -> Callable[[], None]:
    if place.device == "cpu":
        raise ValueError("a CPU has no CUDA graphs")
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            _under(model, clips, precision)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        _under(model, clips, precision)
    return graph.replay


class PublicViT(nn.Module):
    """The public way: attention as three plain operations, and automatic mixed precision from fp32 weights."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.model = create_model(name)
        for block in self.model.blocks:
            block.attn.forward = _unfused(block.attn)

    def forward(self, clips: Tensor) -> Tensor:
        return self.model(clips)


def _unfused(attention: Any) -> Callable[..., Any]:
    def forward(x: Tensor, context: object = None) -> tuple[Tensor, list[dict[str, Tensor]]]:
        bias = torch.cat((attention.q_bias, attention.k_bias, attention.v_bias))
        q, k, v = F.linear(x, attention.qkv.weight, bias).unflatten(-1, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1)
        return attention.proj((weights @ v).transpose(1, 2).flatten(2)), [{}]

    return forward
