"""Cells, the values that tables are made of, and the one spelling of what they name. Imports nothing heavy."""

import re
from dataclasses import dataclass, replace

from models.catalog import architecture
from models.reduction import methods, parse, source_digest

METRICS = {
    "top1": "%",
    "top5": "%",
    "gflops": "GFLOPs",
    "clips_per_s": "clips/s",
    "clips_per_s_e2e": "clips/s",
    "top1_trained": "%",
    "train_hours": "h",
    "train_hours_projected": "h",
    "train_step_s": "s",
    "tokens_kept": "%",
}
"""Every metric with its unit. clips_per_s is the model alone, clips_per_s_e2e includes reading and decoding. top1 and
top5 are of weights that were there; top1_trained and train_… are of a model that the harness trains itself, with the
cell's reduction at work. train_step_s is the median of an optimiser step on whole clips. tokens_kept is the share of a
clip's tokens that are left after the last stage; the pictures of them are its point."""

MEANINGS = {
    "top1": "accuracy of the weights under [checkpoints], by the best class",
    "top5": "the same, by the best five classes",
    "gflops": "multiply-adds of one clip, as fvcore counts them",
    "clips_per_s": "throughput of the model alone",
    "clips_per_s_e2e": "throughput with reading and decoding videos",
    "top1_trained": "accuracy of a model trained here, with the reduction at work",
    "train_hours": "hours of that training",
    "train_hours_projected": "the same, projected from the median step",
    "train_step_s": "median optimiser step of that training",
    "tokens_kept": "share of a clip's tokens left after the last stage, with figures",
}
"""A line on each metric."""

TRAINED = ("top1_trained", "train_hours", "train_hours_projected", "train_step_s")
"""The metrics that a training answers."""


@dataclass(frozen=True)
class Cell:
    """One value that a table needs. `dataset` and `views` are empty where the metric does not depend on them."""

    model: str
    reduction: str
    dataset: str
    views: str
    metric: str


def parse_views(text: str) -> tuple[int, int]:
    """(clips, crops) of a view grid such as `5x3`; ValueError otherwise."""
    found = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", text)
    if not found:
        raise ValueError(f"bad views {text!r}; write CLIPSxCROPS, as in 5x3")
    return int(found[1]), int(found[2])


def canonical(reduction: str, model: str) -> str:
    """The one spelling of `reduction` on `model`; ValueError where either is not valid."""
    arch = architecture(model)
    parsed = parse(reduction)
    parsed.check(arch)
    return parsed.canonical(arch)


def stand_in(reduction: str, model: str, instead: str) -> tuple[str, str]:
    """`reduction` of `model` carried over to the model run `instead`, and a note where that could not be exact."""
    target = architecture(instead)
    fitted, note = parse(canonical(reduction, model)).fit(architecture(model), target)
    fitted.check(target)
    return fitted.canonical(target), note


def method_digest(reduction: str) -> str:
    """A digest of the code of a reduction's method: a changed method is measured again. Empty where there is no
    such method (any more)."""
    name = reduction.partition(":")[0]
    return source_digest(name) if name in methods() else ""


def check_short_clips(reduction: str, model: str, frames: int) -> None:
    """ValueError where `model` cannot take clips of `frames` frames under `reduction`."""
    arch = architecture(model)
    if frames > arch.frames or frames % arch.tubelet:
        raise ValueError(f"clips of {frames} frames; those of {model} have up to {arch.frames}, in {arch.tubelet}s")
    try:
        parse(reduction).check(replace(arch, frames=frames))
    except ValueError as error:
        raise ValueError(f"clips of {frames} frames: {error}") from None


def tokens_per_slot(model: str) -> int:
    """How many tokens a time slot of `model` has before any is dropped."""
    return architecture(model).tokens_per_slot
