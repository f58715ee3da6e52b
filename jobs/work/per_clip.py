"""What is measured of each clip of an evaluation beside its scores, while it goes forward."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from models.flops import Counted, count_flops
from models.reduction import reduction_on
from models.trajectories import Trajectories
from models.video_model import VideoModel


@dataclass(frozen=True)
class PerClip:
    """How a metric is measured of each clip."""

    observer: type[Counted] | type[Trajectories]
    """What looks at a forward pass."""
    scale: float = 1.0
    """By which its values are divided for the record."""


PER_CLIP = {"gflops": PerClip(Counted, 1e9), "trajectory_sum": PerClip(Trajectories)}
"""By metric."""


def forward_observed(
    model: VideoModel, clips: Tensor, reductions: Sequence[str], wanted: Mapping[str, Collection[str]], check: bool
) -> tuple[list[Tensor], list[dict[str, Sequence[float]]]]:
    """Under each reduction the logits of clips, and for each metric that is wanted of it a value of each clip.

    check: whether multiply-adds, which are told by numbers of tokens, are counted once more while a clip runs;
    ValueError where these are others.
    """
    arch = replace(model.arch, num_classes=model.num_classes)
    observers = [
        {name: PER_CLIP[name].observer(reduction_on(one, model.arch), arch, len(clips)) for name in wanted[one]}
        for one in reductions
    ]
    logits = model.forward_all(clips, reductions, [tuple(some.values()) for some in observers])
    values: list[dict[str, Sequence[float]]] = []
    for reduction, some in zip(reductions, observers, strict=True):
        values.append({name: one.values() for name, one in some.items()})
        if check and "gflops" in some:
            model.set_reduction(reduction)
            _check_count(model, clips[:1], int(values[-1]["gflops"][0]))
    return logits, values


def _check_count(model: VideoModel, clip: Tensor, multiply_adds: int) -> None:
    counted = count_flops(model, clip=clip)
    if counted != multiply_adds:
        method = type(model.reduction).__name__
        wrong = f"{multiply_adds:,} multiply-adds by its tokens, {counted:,} counted"
        raise ValueError(f"{model.reduction}: {method}.products leaves out some of its products: {wrong}")
