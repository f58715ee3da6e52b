"""A user's method at work: what it decides is checked, and its errors say where in its file they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.plugin_code import Misuse, fault, file_of, line_of, own
from models.reduction._base import Choice, Reduction, Seen
from models.reduction._staged import Staged

if TYPE_CHECKING:
    from torch import Tensor


def choose_checked(reduction: Reduction, seen: Seen, whole: bool) -> Choice | None:
    """What a user's reduction decides; ValueError that names its file and line where it fails, or the decision is none.

    whole: look at the values too, for which a GPU is waited for.
    """
    import torch

    method = type(reduction)
    function = own(method, ("keep", "choose"))
    if not function:  # all that decides is ours
        return reduction.choose(seen)
    try:
        choice = reduction.choose(seen)
        if choice is not None:
            _check_shapes(choice, seen)
            if whole:
                _check_values(reduction, choice, seen)
    except (MemoryError, OSError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise fault(error, file_of(function), line_of(function)) from error
    return choice


def _check_shapes(choice: Choice, seen: Seen) -> None:
    import torch

    batch, count = seen.tokens.shape[:2]
    if not isinstance(choice, Choice):
        raise Misuse(f"it must return a Choice, or None where all stay, not {choice!r:.60}")
    _need(choice.kept, "kept", batch)
    if choice.kept.dtype == torch.bool:
        if choice.kept.shape[1] != count:
            raise Misuse(f"kept, a mask, must have the shape (B, N) = {(batch, count)}, not {tuple(choice.kept.shape)}")
        if choice.merged is not None:
            raise Misuse("with a mask nothing can be merged; give positions")
        return
    if (choice.merged is None) != (choice.into is None):
        raise Misuse("merged and into must both be given, or neither")
    for name in ("merged", "into", "weights"):
        if (values := getattr(choice, name)) is not None:
            _need(values, name, batch)
            if choice.merged is None or values.shape != choice.merged.shape:
                raise Misuse(f"{name} must have the shape of merged, (B, R)")
            if (name == "weights") != values.dtype.is_floating_point:
                raise Misuse(f"{name} must be {'numbers' if name == 'weights' else 'positions, of dtype int64'}")
    if choice.kept.dtype != torch.int64:
        raise Misuse(f"kept must be positions, of dtype int64, or a mask, not {choice.kept.dtype}")


def _need(values: Tensor, name: str, batch: int) -> None:
    import torch

    if not isinstance(values, torch.Tensor) or values.dim() != 2 or len(values) != batch:
        shape = f"the shape {tuple(values.shape)}" if isinstance(values, torch.Tensor) else f"{values!r:.60}"
        raise Misuse(f"{name} must be a tensor of a row for each of {batch} clips, not {shape}")


def _check_values(reduction: Reduction, choice: Choice, seen: Seen) -> None:
    import torch

    count = seen.tokens.shape[1]
    if choice.kept.dtype == torch.bool:
        if not choice.kept.any(1).all():
            raise Misuse("of some clip it keeps no token")
        return
    if choice.kept.shape[1] == 0:
        raise Misuse("it keeps no token")
    left = reduction.left(count, seen.stage, seen.arch)
    if left is not None and left != choice.kept.shape[1]:
        raise Misuse(f"of {count} tokens it keeps {choice.kept.shape[1]}, where left() says {left}")
    if isinstance(reduction, Staged):
        slots = reduction.slots(seen.stage, seen.arch)
        first = torch.arange(0, count, count // slots, device=choice.kept.device)
        _in_range(choice.kept.unflatten(1, (slots, -1)) - first[:, None], "positions that keep returns", count // slots)
    used = choice.kept if choice.merged is None else torch.cat((choice.kept, choice.merged), 1)
    _in_range(used, "positions", count)
    ordered = used.sort(1).values
    if (ordered.diff(dim=1) == 0).any():
        raise Misuse("a token is kept or merged more than once")
    if choice.into is not None:
        _in_range(choice.into, "into, indices of kept,", choice.kept.shape[1])
    if choice.weights is not None and not (choice.weights.isfinite() & (choice.weights >= 0)).all():
        raise Misuse("weights must be finite and not below 0; some are not (a NaN?)")


def _in_range(values: Tensor, what: str, count: int) -> None:
    if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < count:
        raise Misuse(f"{what} must be from 0 to {count - 1}; it gives {int(values.min())} to {int(values.max())}")
