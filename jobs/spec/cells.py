"""Cells, the values that tables are made of, and the one spelling of what they name. Imports nothing heavy."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeVar

from jobs.spec.plugins import plugin_digest
from jobs.spec.sampling import sampling
from models.catalog import ARCHITECTURES, architecture
from models.reduction import check, is_by_cost, is_method, method_of, parse, reduction_on, source_digest
from results.metrics import MEASURES, METRICS

T = TypeVar("T")


@dataclass(frozen=True)
class Cell:
    """One value that a table needs. `dataset` and `views` are empty where the metric does not depend on them."""

    model: str
    reduction: str
    dataset: str
    views: str
    metric: str


def is_known(cell: Cell) -> bool:
    """Whether there is a model, a method and a metric of its names: of a plugin's only where that is loaded."""
    method = cell.reduction.partition(":")[0]
    return cell.model in ARCHITECTURES and cell.metric in METRICS and is_method(method)


def by_content(metric: str, reduction: str) -> bool:
    """Whether a cost or a timing hangs on what clips show; ValueError where the reduction is not valid."""
    over_clips = metric in MEASURES and bool(METRICS[metric].over)
    return over_clips or (METRICS[metric].kind in ("cost", "timing") and method_of(reduction).by_content)


def over(metric: str, reduction: str) -> tuple[str, ...]:
    """Of dataset and views those that a cell needs; ValueError where the reduction is not valid."""
    return ("dataset", "views") if by_content(metric, reduction) else METRICS[metric].over


def job_kind(cell: Cell) -> str:
    """The kind of job that answers it: what the clips of a dataset cost is counted where they are evaluated."""
    return "evaluate" if METRICS[cell.metric].kind == "cost" and cell.dataset else METRICS[cell.metric].job


def parse_views(text: str) -> tuple[int, int]:
    """(clips, crops) of a view grid such as `5x3`; ValueError otherwise."""
    found = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", text)
    if not found:
        raise ValueError(f"bad views {text!r}; write CLIPSxCROPS, as in 5x3")
    return int(found[1]), int(found[2])


def canonical(reduction: str, model: str) -> str:
    """The one spelling of `reduction` on `model`; ValueError where either is not valid."""

    def spelled() -> str:
        arch = architecture(model)
        return reduction_on(reduction, arch).canonical(arch)

    return _held(("canonical", reduction, model), spelled)


def became(reduction: str, model: str) -> str:
    """What a reduction that is asked for by its cost is on `model`, in words; empty where it is not."""
    if not is_by_cost(reduction):
        return ""
    arch = architecture(model)
    found = reduction_on(reduction, arch)
    return f"{reduction} is {found.canonical(arch)}, {(found.multiply_adds(arch) or 0) / 1e9:.1f} GFLOPs"


def stand_in(reduction: str, model: str, instead: str) -> tuple[str, str]:
    """`reduction` of `model` carried over to the model run `instead`, and a note where that could not be exact."""
    target = architecture(instead)
    fitted, note = parse(canonical(reduction, model)).fit(architecture(model), target)
    check(fitted, target)
    return fitted.canonical(target), note


def method_digest(reduction: str) -> str:
    """A digest of the code of a reduction's method: a changed method is measured again. Empty where there is no
    such method (any more)."""
    name = reduction.partition(":")[0]
    return source_digest(name) if is_method(name) else ""


def code_of(model: str, reduction: str, metric: str = "") -> dict[str, str]:
    """Digests of the code that a cell rests on beside ours, and of the reduction's: settings of its record."""

    def found() -> dict[str, str]:
        plugin = plugin_digest(model, metric)
        return {"method": method_digest(reduction)} | ({"plugin": plugin} if plugin else {})

    return dict(_held(("code", model, reduction.partition(":")[0], metric), found))


_HELD: list[dict[tuple[str, ...], Any]] = []
"""What was found since code was held, the innermost last."""


def _held(key: tuple[str, ...], make: Callable[[], T]) -> T:
    """What `make` returns, made once while code is held."""
    if not _HELD:
        return make()
    if key not in _HELD[-1]:
        _HELD[-1][key] = make()
    found: T = _HELD[-1][key]
    return found


@contextmanager
def code_held() -> Iterator[None]:
    """While open, the files of each method and plugin are looked at, and each reduction is spelled out, once: for a
    plan or a report, which ask for thousands of cells and mean one moment."""
    _HELD.append({})
    try:
        yield
    finally:
        _HELD.pop()


def check_short_clips(reduction: str, model: str, frames: int) -> None:
    """ValueError where `model` cannot take clips of `frames` frames under `reduction`."""
    arch = architecture(model)
    if frames > arch.frames or frames % arch.tubelet:
        raise ValueError(f"clips of {frames} frames; those of {model} have up to {arch.frames}, in {arch.tubelet}s")
    try:
        check(parse(reduction), replace(arch, frames=frames))
    except ValueError as error:
        raise ValueError(f"clips of {frames} frames: {error}") from None


def stride_of(model: str, declared: int) -> int:
    """Every how many frames of a video the clips of `model` take one, where a data set declares so many; 0: none."""
    return declared or architecture(model).stride


def check_views(cell: Cell, dataset: str) -> None:
    """ValueError where views are not defined of a model on a data set that is sampled as `dataset` says."""
    arch = architecture(cell.model)
    try:
        sampling(arch.sampling, dataset, arch.frames, arch.stride).check(parse_views(cell.views)[0])
    except ValueError as error:
        raise ValueError(f"{cell.model} on {cell.dataset}, views {cell.views}: {error}") from None


def check_content(cell: Cell) -> None:
    """ValueError where what a cell measures of clips is not defined under its reduction."""
    if METRICS[cell.metric].kind == "content" and method_of(cell.reduction).by_content:
        why = f"{cell.reduction} may leave a clip no token of a slot"
        raise ValueError(f"{cell.metric} is of methods that leave tokens of every slot, and {why}")


def same_shares(model: str, instead: str) -> bool:
    """Whether all stages on a stand-in drop the shares of a slot that they do on `model`, when r is scaled by a slot's
    tokens."""
    source, target = architecture(model), architecture(instead)
    if not (source.on_grid and target.on_grid):
        return True
    ratios = {Fraction(target.side(level), source.side(level)) for level in range(1, len(source.levels) + 1)}
    return len(source.levels) == len(target.levels) and len(ratios) == 1


def tokens_per_slot(model: str) -> int:
    """How many tokens a time slot of `model` has before any is dropped."""
    return architecture(model).tokens_per_slot
