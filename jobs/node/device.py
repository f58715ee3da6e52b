"""The device a job runs on, and how a model is made ready for it."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jobs.node.gpu_code import missing_code
from models import create_model, load_checkpoint
from models.architecture import Architecture
from models.video_model import VideoModel

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def pick_device() -> torch.device:
    """The GPU of this task where there is one, else the CPU.

    The processes of a gang, which see all GPUs of their machine, take one each.

    ValueError where the installed PyTorch has no code for the GPU.
    """
    # On newer cards the patch convolution would otherwise round fp32 to TF32.
    torch.backends.cudnn.allow_tf32 = False
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    major, minor = torch.cuda.get_device_capability()
    if problem := missing_code(f"sm_{major}{minor}", torch.__version__, torch.cuda.get_arch_list()):
        raise ValueError(f"this GPU is of sm_{major}{minor}, and {problem}")
    return torch.device("cuda", torch.cuda.current_device())


def check_gpu(gpus: int) -> None:
    """ValueError where a task is to have a GPU and PyTorch finds none."""
    if gpus and pick_device().type == "cpu":
        raise ValueError("launch.gpus_per_task asks for a GPU, and PyTorch finds none here that it can use")


def ready_model(
    name: str,
    num_classes: int,
    device: torch.device,
    checkpoint: str = "",
    stride: int | None = None,
    precision: str = "fp32",
    compiled: bool = False,
) -> VideoModel:
    """The model on `device`, for inference in `precision`, with the weights in `checkpoint` if one is given; `stride`
    is as in `load_checkpoint`. compiled: whether its blocks go through torch.compile."""
    with device:
        model = create_model(name, num_classes=num_classes)
    if checkpoint:
        load_checkpoint(model, checkpoint, stride)
    if compiled:
        model.compile_blocks()
    return converted(model.eval().to(device), precision)


def converted(model: VideoModel, precision: str) -> VideoModel:
    """The model with the weights that automatic mixed precision would convert in every forward pass converted once:
    those of linear layers and convolutions. The logits have the same bits."""
    if precision != "fp32":
        for layer in model.modules():
            if isinstance(layer, nn.Linear | nn.Conv3d):
                layer.to(_DTYPES[precision])
    return model


def to_device(values: np.ndarray, device: torch.device) -> Tensor:
    """An array on `device`; to a GPU by pinned memory, so that nobody waits for what runs there."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


class Copies(dict[int, Tensor]):
    """Arrays on a device by number, each copied when it is first asked for, on a stream of its own: a copy runs beside
    what was asked of the device before it. To be kept until that is done."""

    def __init__(self, arrays: Mapping[int, np.ndarray], device: torch.device) -> None:
        super().__init__()
        self._arrays, self._device = arrays, device

    def __missing__(self, number: int) -> Tensor:
        streams, copying = torch.get_device_module(self._device), _copying(self._device)
        with streams.stream(copying):
            self[number] = to_device(self._arrays[number], self._device)
        streams.current_stream().wait_stream(copying)
        return self[number]


@lru_cache(maxsize=1)
def _copying(device: torch.device) -> Any:
    """The stream of copies; one, as memory is not shared between streams."""
    return torch.get_device_module(device).Stream()


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Mixed precision for fp16 and bf16, nothing for fp32."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, _DTYPES[precision])


def normalise(clips: Tensor, arch: Architecture) -> Tensor:
    """uint8 clips (B, T, H, W, 3) → float (B, 3, T, H, W), with the mean and the standard deviation of a model."""
    mean, std = (_grey_levels(values, clips.device) for values in (arch.mean, arch.std))
    return ((clips - mean) / std).permute(0, 4, 1, 2, 3)


@lru_cache(maxsize=16)
def _grey_levels(shares: tuple[float, ...], device: torch.device) -> Tensor:
    """Of 255, for each colour; made once, as the copy to a GPU waits for all that runs there."""
    with torch.inference_mode(False):
        return torch.tensor(shares, dtype=torch.float32, device=device) * 255
