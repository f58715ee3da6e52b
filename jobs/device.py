"""The device a job runs on, and how a model is made ready for it."""

import re
import sys
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from models import create_model, load_checkpoint
from models.vit import VisionTransformer

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
# ImageNet's statistics, which VideoMAE normalises with (protocol: section "Evaluation").
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def pick_device(local_rank: int = 0) -> torch.device:
    """The GPU of this task where there is one, else the CPU; `local_rank` tells the processes on a machine apart.

    ValueError where the installed PyTorch has no code for the GPU.
    """
    # On newer cards the patch convolution would otherwise round fp32 to TF32.
    torch.backends.cudnn.allow_tf32 = False
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.cuda.set_device(local_rank % torch.cuda.device_count())
    major, minor = torch.cuda.get_device_capability()
    check_code_for(f"sm_{major}{minor}")
    return torch.device("cuda", torch.cuda.current_device())


def check_code_for(gpu: str) -> None:
    """ValueError, saying what to do, where the installed PyTorch has no code for GPUs of the kind `gpu`, as sm_70.

    Code for one kind also runs on later ones of the same generation, and PTX (compute_…) on all later ones.
    """
    built = torch._C._cuda_getArchFlags() or ""  # unlike torch.cuda.get_arch_list, also where there is no GPU
    wanted = int(gpu.removeprefix("sm_"))
    for name in built.split():
        kind, _, number = name.partition("_")
        have = int(re.sub("[a-z]", "", number))
        if have <= wanted and (kind == "compute" or have // 10 == wanted // 10):
            return
    remedy = "; install a CUDA 12.6 build (cu126) of torch and torchvision" if wanted < 75 else ""
    raise ValueError(f"PyTorch {torch.__version__} has no code for {gpu}, only for {built or 'CPUs'}{remedy}")


def ready_model(name: str, num_classes: int, device: torch.device, checkpoint: str = "") -> VisionTransformer:
    """The model on `device`, for inference, with the weights in `checkpoint` if one is given."""
    model = create_model(name, num_classes=num_classes)
    if checkpoint:
        load_checkpoint(model, checkpoint)
    return model.eval().to(device)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Mixed precision for fp16 and bf16, nothing for fp32."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, _DTYPES[precision])


def normalise(clips: Tensor) -> Tensor:
    """uint8 clips (B, T, H, W, 3) → float (B, 3, T, H, W) with ImageNet's mean and standard deviation."""
    mean, std = (clips.new_tensor(values, dtype=torch.float32) * 255 for values in (_MEAN, _STD))
    return ((clips - mean) / std).permute(0, 4, 1, 2, 3)


def main(arguments: list[str]) -> int:
    """`python -m jobs.device sm_70`: whether the installed PyTorch has code for such a GPU; asked by the launcher."""
    try:
        check_code_for(*arguments)
    except ValueError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
