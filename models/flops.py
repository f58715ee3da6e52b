"""Counts what one clip costs, in fvcore's convention, which is the one that papers print.

One multiply-add counts one. Convolutions, linear layers, matrix products (the reduction's own too) and both products
of attention count; LayerNorm counts 5 an element; activations, softmax and additions are free.
"""

import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from models.architecture import Architecture
from models.reduction import Reduction
from models.stages import Event, Observer
from models.video_model import VideoModel


def count_flops(model: VideoModel, with_fvcore: bool = False, clip: Tensor | None = None) -> int:
    """Multiply-adds of one clip through `model` with its present reduction.

    The model runs on the meta device, so only shapes are computed: it may itself have been made under
    `torch.device("meta")`, and no memory is taken for weights or activations. with_fvcore: ask fvcore instead, which
    traces a real forward pass on the model's own device and weights; slow, and the check on the other way. clip: (1, 3,
    F, H, W), to be taken forward for real; ValueError where the reduction's cost depends on it and it is missing.
    """
    arch, weight = model.arch, next(model.parameters())
    if clip is None and model.reduction.by_content:
        raise ValueError(f"what {model.reduction} costs depends on the clip; count it on clips of a dataset")
    empty = torch.empty(1, 3, arch.frames, arch.image, arch.image, dtype=weight.dtype, device="meta")
    if with_fvcore:
        if weight.is_meta:
            raise ValueError(
                "fvcore traces a real forward pass and needs a model with weights, not one on the meta device"
            )
        return _fvcore(model, torch.zeros_like(empty, device=weight.device) if clip is None else clip)
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    if clip is None:
        tensors = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    training = model.training
    model.eval()  # stochastic depth would ask for random numbers, and skips no products
    try:
        return _products(lambda: functional_call(model, tensors, empty if clip is None else clip), skip=clip is None)
    finally:
        model.train(training)


class Counted(Observer):
    """Counts the multiply-adds of each clip of a forward pass by how many tokens its blocks found."""

    def __init__(self, reduction: Reduction, arch: Architecture, clips: int) -> None:
        self.reduction, self.arch, self.clips = reduction, arch, clips
        self.left: defaultdict[int, dict[int, int]] = defaultdict(dict)
        """By clip and stage."""

    def stage(self, event: Event) -> None:
        for clip, count in enumerate(event.moves.amax(1).tolist(), event.clip):
            self.left[clip][event.stage] = count + 1

    def values(self) -> list[int]:
        """Of each clip."""
        ways = (partial(_left, self.left[clip]) for clip in range(self.clips))
        costs = [self.reduction.multiply_adds(self.arch, way) for way in ways]
        return [cost for cost in costs if cost is not None]


def products_run(call: Callable[[], Any]) -> int:
    """The multiply-adds of all that `call` runs, which runs for real."""
    return _products(call, skip=False)


def _products(call: Callable[[], Any], skip: bool) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as products, _Layers(products, skip) as layers:
        call()
    return layers.total + products.get_total_flops() // 2  # torch counts a multiply-add as two


def _left(counts: Mapping[int, int], found: int, stage: int) -> int:
    return counts.get(stage, found)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[int, tuple[int, ...]]:
    return input.numel() * weight.shape[0], (*input.shape[:-1], weight.shape[0])


def _layer_norm(input: Tensor, shape: Any, weight: Tensor | None = None, *_: Any, **__: Any) -> tuple[int, torch.Size]:
    return input.numel() * (4 if weight is None else 5), input.shape


def _attention(query: Tensor, key: Tensor, value: Tensor, **_: Any) -> tuple[int, tuple[int, ...]]:
    products = query.numel() * key.shape[-2] + prod(query.shape[:-1]) * prod(value.shape[-2:])
    return products, (*query.shape[:-1], value.shape[-1])


def _gelu(input: Tensor, *_: Any, **__: Any) -> tuple[int, torch.Size]:
    return 0, input.shape


def _add(input: Tensor, other: Any, **_: Any) -> tuple[int, torch.Size]:
    return 0, torch.broadcast_shapes(input.shape, getattr(other, "shape", ()))


_RULES: dict[Callable[..., Any], Callable[..., tuple[int, tuple[int, ...]]]] = {
    F.linear: _linear,
    F.layer_norm: _layer_norm,
    F.scaled_dot_product_attention: _attention,
    F.gelu: _gelu,
    Tensor.add: _add,
}


class _Layers(TorchFunctionMode):
    """Counts the layers of the models; what is not in _RULES runs on, and `products` counts its products."""

    def __init__(self, products: FlopCounterMode, skip: bool) -> None:
        """skip: leave the layers out once they are counted, as their meta kernels take most of the time."""
        super().__init__()
        self.products, self.skip = products, skip
        self.total = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in _RULES:
            return func(*args, **(kwargs or {}))
        count, shape = _RULES[func](*args, **(kwargs or {}))
        self.total += count
        if self.skip:
            return args[0].new_empty(shape)
        before = self.products.get_total_flops()
        out = func(*args, **(kwargs or {}))
        self.total -= (self.products.get_total_flops() - before) // 2  # it is counted here
        return out


def _fvcore(model: VideoModel, clip: Tensor) -> int:
    def attention(inputs: list[Any], outputs: list[Any]) -> int:
        query, key, value = (tensor.type().sizes() for tensor in inputs[:3])
        return prod(query) * key[-2] + prod(query[:-1]) * prod(value[-2:])

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses TorchScript, which torch deprecates
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(model, clip).set_op_handle("aten::scaled_dot_product_attention", attention)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        return int(analysis.total())
