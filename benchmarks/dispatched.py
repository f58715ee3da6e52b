"""What a forward pass asks of a device, counted by dispatch: kernels, and what makes the host wait for a GPU."""

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

VIEWS = {
    "alias", "as_strided", "detach", "empty", "empty_like", "expand", "lift_fresh", "new_empty", "permute",
    "promote_types", "select", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unfold",
    "unsqueeze", "view", "_unsafe_view", "_reshape_alias",
}  # fmt: skip
"""Operators that start nothing on a GPU."""
WAITS = {"_local_scalar_dense", "equal", "is_nonzero", "item", "masked_select", "nonzero", "unique_dim", "_unique2"}
"""Operators whose result, or its shape, the host has to read."""


class Dispatched(TorchDispatchMode):
    """Counts by operator; on the meta device that tells of a GPU too, as nothing here asks which device it is."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.__name__.partition(".")[0]
        given = [one for one in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        made = [one for one in torch.utils._pytree.tree_leaves(out) if isinstance(one, Tensor)]
        if name not in VIEWS:
            self.kernels[name] += 1
        # A copy from one device to another; numbers, which tensors of no dimension may stand for, go with the call.
        copies = {one.device for one in given} | {one.device for one in made}
        by_mask = name.startswith("index") and any(one.dtype == torch.bool for one in given)
        if name in WAITS or by_mask or (len(copies) > 1 and max(one.dim() for one in given) > 0):
            self.waits[name] += 1
        return out
