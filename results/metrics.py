"""What can be measured: each metric declared once. Tables, plans, reports, plots and docs read it here."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Metric:
    """One metric. What it depends on beside the model and the reduction is in `over`."""

    meaning: str
    """In a line."""
    unit: str
    kind: Literal["accuracy", "cost", "content", "timing", "training", "figure"]
    """What it tells: a cost hangs on the model and the reduction alone, content also on what clips show, a timing also
    on the machine."""
    job: Literal["evaluate", "count", "measure", "train", "visualize"]
    """The kind of job that answers it."""
    over: tuple[str, ...] = ()
    """Of dataset and views those that it depends on."""
    digits: int = 2
    """Decimals that tables show."""
    axis: str = ""
    """Its name on an axis of a plot; empty: it is in none."""

    @property
    def spread(self) -> bool:
        """Whether a value of a few units is shown with three digits that say something, as the hours of a training of
        minutes."""
        return self.kind in ("cost", "timing", "training")


_DATA, _VIEWS = ("dataset",), ("dataset", "views")
METRICS = {
    "top1": Metric(
        "accuracy of the weights under [checkpoints], by the best class", "%", "accuracy", "evaluate", _VIEWS, 2,
        "top-1 (%)",
    ),
    "top5": Metric("the same, by the best five classes", "%", "accuracy", "evaluate", _VIEWS, 2, "top-5 (%)"),
    "gflops": Metric(
        "multiply-adds of one clip, as fvcore counts them", "GFLOPs", "cost", "count", (), 1, "GFLOPs a clip"
    ),
    "clips_per_s": Metric("throughput of the model alone", "clips/s", "timing", "measure", (), 1, "clips/s"),
    "latency_ms": Metric("median time of one clip, alone in its batch", "ms", "timing", "measure", (), 1, "ms a clip"),
    "peak_memory_gib": Metric(
        "most memory of a forward pass at measure.batch_size, weights included", "GiB", "timing", "measure", (), 2,
        "GiB at most",
    ),
    "clips_per_s_e2e": Metric(
        "throughput with reading and decoding videos", "clips/s", "timing", "measure", _VIEWS, 1
    ),
    "top1_trained": Metric(
        "accuracy of a model trained here, with the reduction at work", "%", "accuracy", "train", _VIEWS, 2,
        "top-1 after training (%)",
    ),
    "train_hours": Metric("hours of that training", "h", "training", "train", _DATA, 1),
    "train_hours_projected": Metric("the same, projected from the median step", "h", "training", "train", _DATA, 1),
    "train_step_s": Metric("median optimiser step of that training, whole clips", "s", "training", "train", _DATA, 1),
    "tokens_kept": Metric(
        "share of a clip's tokens left after the last stage, with figures", "%", "figure", "visualize", _DATA
    ),
    "trajectory_sum": Metric(
        "for each token of the last slot its largest cosine to each earlier slot's, summed (STA, Table 1)",
        "", "content", "evaluate", _VIEWS, 2,
    ),
}  # fmt: skip


Measured = Callable[[Any, Any], float]
MEASURES: dict[str, Measured] = {}
"""By name of a user's metric, what measures it: of a model, as it is set, and a batch of clips (B, 3, F, H, W) a
number. A record's value is the mean over the batches."""


def register_metric(name: str, metric: Metric) -> Callable[[Measured], Measured]:
    """Enter a metric of one's own with the function that measures it, which this decorates. It is answered by the jobs
    that time models, over random clips, or over those of a dataset where `over` names dataset and views. ValueError
    where the name is taken or the metric is none of these."""
    if name in METRICS:
        raise ValueError(f"{name!r} is the name of a metric that there is; give yours another")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", name):
        raise ValueError(f"{name!r} cannot be the name of a metric: letters, digits, - and _, a letter first")
    if metric.job != "measure" or metric.kind != "timing" or metric.over not in ((), ("dataset", "views")):
        raise ValueError(f"metric {name}: kind must be timing, job measure, and over () or ('dataset', 'views')")

    def enter(function: Measured) -> Measured:
        if len(inspect.signature(function).parameters) != 2:
            raise ValueError(f"metric {name}: {function.__name__} must take (model, clips)")
        METRICS[name], MEASURES[name] = metric, function
        return function

    return enter


def of_job(*jobs: str) -> tuple[str, ...]:
    """The metrics that jobs of these kinds answer."""
    return tuple(name for name, one in METRICS.items() if one.job in jobs)


def of_kind(*kinds: str) -> tuple[str, ...]:
    """The metrics of these kinds."""
    return tuple(name for name, one in METRICS.items() if one.kind in kinds)
