"""Numbers that do not hang on the clips: made once a device, as a copy to a GPU waits for all that runs there."""

from collections.abc import Callable, Hashable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

Make = Callable[..., np.ndarray]


@torch._dynamo.assume_constant_result  # type: ignore[misc, unused-ignore]
def constant(make: Make, *given: Hashable, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """What `make` returns for `given`, on the device of `like` and in its dtype, or another. Not to be written into."""
    return _made(make, given, like.device, dtype or like.dtype)


@lru_cache(maxsize=512)
def _made(make: Make, given: tuple[Hashable, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # a training may use it after an evaluation
        return torch.from_numpy(make(*given)).to(device, dtype)
