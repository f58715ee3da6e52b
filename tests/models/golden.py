"""The seeded weights and clip for which `golden.npz` holds the logits of the method's published code.

Its keys are `<model>|<r>`, each (batch, 400), computed in float32 on a CPU. The draws below must stay as they are:
they define the inputs.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.catalog import architecture

EXPECTED = Path(__file__).with_suffix(".npz")


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a fine-tuned VideoMAE checkpoint, spelled out apart from the model under test."""
    arch = architecture(name)
    dim = arch.dim
    block = {
        "norm1.weight": (dim,),
        "norm1.bias": (dim,),
        "attn.q_bias": (dim,),
        "attn.v_bias": (dim,),
        "attn.qkv.weight": (3 * dim, dim),
        "attn.proj.weight": (dim, dim),
        "attn.proj.bias": (dim,),
        "norm2.weight": (dim,),
        "norm2.bias": (dim,),
        "mlp.fc1.weight": (4 * dim, dim),
        "mlp.fc1.bias": (4 * dim,),
        "mlp.fc2.weight": (dim, 4 * dim),
        "mlp.fc2.bias": (dim,),
    }
    return {
        "patch_embed.proj.weight": (dim, 3, arch.tubelet, arch.patch, arch.patch),
        "patch_embed.proj.bias": (dim,),
        **{f"blocks.{i}.{key}": shape for i in range(arch.depth) for key, shape in block.items()},
        "fc_norm.weight": (dim,),
        "fc_norm.bias": (dim,),
        "head.weight": (arch.num_classes, dim),
        "head.bias": (arch.num_classes,),
    }


def weights(name: str, seed: int = 1234) -> dict[str, Tensor]:
    """A state dict, drawn in the order of its sorted names."""
    stream = np.random.RandomState(seed)
    state = {}
    for key, shape in sorted(shapes(name).items()):
        draw = stream.standard_normal(shape)
        if key.endswith(("norm1.weight", "norm2.weight", "fc_norm.weight")):
            draw = 1 + 0.1 * draw
        elif key.endswith("bias"):
            draw = 0.1 * draw
        elif key == "head.weight":
            draw = 0.2 * draw
        else:
            draw = draw / np.sqrt(np.prod(shape[1:]))
        state[key] = torch.from_numpy(draw.astype(np.float32))
    return state


def clips(batch: int, side: int = 224, seed: int = 7) -> Tensor:
    """Clips (batch, 3, 16, side, side): a texture that drifts (2, 3) pixels a frame, and noise from frame 8 on."""
    stream = np.random.RandomState(seed)
    coarse = torch.from_numpy(stream.standard_normal((batch, 3, 28, 28)).astype(np.float32))
    # torch interpolates otherwise on one thread, and an input that differs in its last bit has other merges.
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    texture = F.interpolate(coarse, size=(side + 64, side + 64), mode="bilinear", align_corners=False)
    torch.set_num_threads(threads)
    clip = torch.stack([texture[..., 3 * t : 3 * t + side, 2 * t : 2 * t + side] for t in range(16)], dim=2)
    noise = stream.standard_normal((batch, 3, 1, side, side)).astype(np.float32)
    clip[:, :, 8:] += 0.5 * torch.from_numpy(noise)
    return clip
