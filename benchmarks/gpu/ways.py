"""Ways to run a forward pass beside the harness's own (eager): the public way, compiled blocks, CUDA graphs."""

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gpu.place import Place, Result
from jobs.node.device import autocast, ready_model
from models import create_model
from models.catalog import architecture

HEADERS = "model", "batch", "reduction", "way", "clips/s", "eager, clips/s", "times as fast"
Call = Callable[[], Any]


def run(place: Place) -> None:
    name = "vit_demo" if place.small else "vit_large"
    title = f"Ways to run them, {place.precisions[0]}, each in turns with the harness's own (eager)"
    result = place.table(title, *HEADERS)
    for batch in (2,) if place.small else (32, 1):
        for reduction in ("none", "sta:r=12") if place.small else ("none", "sta:r=64"):
            what = f"{reduction}, batch {batch}"
            place.attempt(result, what, 10, partial(_rows, place, result, name, reduction, batch))


def _rows(place: Place, result: Result, name: str, reduction: str, batch: int) -> None:
    device = torch.device(place.device)
    precision, classes = place.precisions[0], architecture(name).num_classes
    model, other = (ready_model(name, classes, device, precision=precision) for _ in range(2))
    for one in (model, other):
        one.set_reduction(reduction)
    # On a CPU only the tracer runs: making code would take minutes.
    other.compile_blocks("eager" if place.device == "cpu" else "inductor")
    arch = model.arch
    clips = torch.randn(batch, 3, arch.frames, arch.image, arch.image, device=device)
    eager, compiled = partial(_under, model, clips, precision), partial(_under, other, clips, precision)
    makers: dict[str, Callable[[], Call]] = {
        "public": lambda: partial(_under, public(name, device), clips, precision),
        "CUDA graph": lambda: _graphed(eager, device),
        "compiled": lambda: compiled,
        "compiled, CUDA graph": lambda: _graphed(compiled, device),
    }
    if reduction != "none":
        del makers["public"]

    def row(way: str) -> None:
        call = makers[way]()
        times = place.turns({way: call, "eager": eager}, 10)
        faster = median(one / other for one, other in zip(times["eager"], times[way], strict=True))
        rates = (f"{batch / median(found):.1f}" for found in times.values())
        result.add(name, batch, reduction, way, *rates, f"{faster:.2f}")
        if way == "public" and batch > 1 and not place.small:
            result.goal("clips/s against the public way, r = 0", 1 / faster, 2)

    for way in makers:
        if place.device == "cpu" and "graph" in way:
            result.note(f"left out, as a CPU has none: {way}, {reduction}, batch {batch}")
        else:
            place.attempt(result, f"{way}, {reduction}, batch {batch}", 10, partial(row, way))


@torch.inference_mode()
def _under(model: nn.Module, clips: Tensor, precision: str) -> Tensor:
    with autocast(precision, clips.device):
        return model(clips)


def _graphed(call: Call, device: torch.device) -> Call:
    """A function that starts what `call` asks of the GPU, as one graph."""
    streams = torch.get_device_module(device)
    stream = streams.Stream()
    stream.wait_stream(streams.current_stream())
    with streams.stream(stream):
        for _ in range(3):
            call()
    streams.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def public(name: str, device: torch.device) -> nn.Module:
    """A model as public code runs it: attention in three plain operations, mixed precision from fp32 weights."""
    with device:
        model = create_model(name).eval().to(device)
    for block in model.blocks:
        block.attn.forward = partial(_unfused, block.attn)
    return model


def _unfused(attention: Any, x: Tensor, context: object = None) -> tuple[Tensor, list[dict[str, Tensor]]]:
    bias = torch.cat((attention.q_bias, attention.k_bias, attention.v_bias))
    q, k, v = F.linear(x, attention.qkv.weight, bias).unflatten(-1, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)
    weights = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1)
    return attention.proj((weights @ v).transpose(1, 2).flatten(2)), [{}]
