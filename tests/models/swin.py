"""The seeded weights and clip for which `swin.npz` holds the logits of a slow literal Video Swin with STA.

Its keys are `<model>|<window>|<classes>|<r1>`, each (1, classes), computed in float32 on a CPU; with `|kept<stage>`
behind, (1, 16, K), the positions that stay, row by row. The draws below must stay as they are: they define the inputs.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.catalog import VideoSwin

EXPECTED = Path(__file__).with_suffix(".npz")


def shapes(arch: VideoSwin, classes: int) -> dict[str, tuple[int, ...]]:
    """torchvision's names and shapes, spelled out apart from the model under test."""
    first, last = arch.levels[0].dim, arch.levels[-1].dim
    t, h, w = arch.window
    rows = (2 * t - 1) * (2 * h - 1) * (2 * w - 1)
    found: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (first, 3, arch.tubelet, arch.patch, arch.patch),
        "patch_embed.proj.bias": (first,),
        "patch_embed.norm.weight": (first,),
        "patch_embed.norm.bias": (first,),
        "norm.weight": (last,),
        "norm.bias": (last,),
        "head.weight": (classes, last),
        "head.bias": (classes,),
    }
    for number, level in enumerate(arch.levels):
        c = level.dim
        block = {
            "norm1.weight": (c,),
            "norm1.bias": (c,),
            "attn.relative_position_bias_table": (rows, level.heads),
            "attn.qkv.weight": (3 * c, c),
            "attn.qkv.bias": (3 * c,),
            "attn.proj.weight": (c, c),
            "attn.proj.bias": (c,),
            "norm2.weight": (c,),
            "norm2.bias": (c,),
            "mlp.0.weight": (4 * c, c),
            "mlp.0.bias": (4 * c,),
            "mlp.3.weight": (c, 4 * c),
            "mlp.3.bias": (c,),
        }
        found |= {f"features.{2 * number}.{k}.{key}": shape for k in range(level.depth) for key, shape in block.items()}
        if number + 1 < len(arch.levels):
            merging = {"reduction.weight": (2 * c, 4 * c), "norm.weight": (4 * c,), "norm.bias": (4 * c,)}
            found |= {f"features.{2 * number + 1}.{key}": shape for key, shape in merging.items()}
    return found


def weights(arch: VideoSwin, classes: int, seed: int = 4321) -> dict[str, Tensor]:
    """A state dict, drawn in the order of its sorted names."""
    stream = np.random.RandomState(seed)
    state = {}
    for key, shape in sorted(shapes(arch, classes).items()):
        draw = stream.standard_normal(shape)
        if "norm" in key and key.endswith("weight"):
            draw = 1 + 0.1 * draw
        elif key.endswith("bias"):
            draw = 0.1 * draw
        elif key.endswith("table"):
            draw = 0.5 * draw
        elif key == "head.weight":
            draw = 0.2 * draw
        else:
            draw = draw / np.sqrt(np.prod(shape[1:]))
        state[key] = torch.from_numpy(draw.astype(np.float32))
    return state


def clip(seed: int = 5) -> Tensor:
    """(1, 3, 32, 224, 224): a smooth texture that drifts (1, 2) pixels a frame, and a cut after frame 20."""
    stream = np.random.RandomState(seed)
    coarse = torch.from_numpy(stream.standard_normal((1, 3, 36, 36)).astype(np.float32))
    texture = F.interpolate(coarse, size=(288, 288), mode="bilinear", align_corners=False)
    frames = torch.stack([texture[:, :, t : t + 224, 2 * t : 2 * t + 224] for t in range(32)], dim=2)
    noise = stream.standard_normal((1, 3, 1, 224, 224)).astype(np.float32)
    frames[:, :, 20:] += 0.5 * torch.from_numpy(noise)
    return frames.contiguous()
