"""What values a profile's keys may have; types have been checked before."""

import re
from collections.abc import Iterator
from typing import Any

from harness.profiles.sections import Profile, Rates, Train
from jobs.spec.cells import canonical
from jobs.spec.jobs import PRECISIONS
from jobs.spec.kernels import ATTENTION
from jobs.spec.recipe import RANDAUGMENT, accumulation
from jobs.spec.sampling import DATASETS

CHOICES: dict[str, tuple[Any, ...]] = {
    "launch.executor": ("local", "slurm"),
    "launch.gpu_flag": ("gpus-per-node", "gres"),
    "evaluate.precision": PRECISIONS,
    "measure.precision": PRECISIONS,
    "evaluate.attention": ATTENTION,
    "measure.attention": ATTENTION,
    "measure.counter": ("meta", "fvcore"),
    "train.precision": PRECISIONS,
    "train.zero_stage": (0, 1, 2, 3),
}
AT_LEAST = {
    "launch.tasks": 0,
    "launch.cpus_per_task": 1,
    "launch.gpus_per_task": 0,
    "launch.mem_gb": 0,
    "launch.time_min": 1,
    "launch.parallel": 0,
    "launch.retries": 0,
    "launch.timeouts": 0,
    "evaluate.batch_size": 1,
    "evaluate.block": 1,
    "evaluate.decoders": 1,
    "evaluate.decode_timeout_s": 1,
    "measure.batch_size": 1,
    "measure.samples": 5,
    "figures.videos": 1,
    "train.batch": 1,
    "train.repeats": 1,
    "train.short_side": 1,
    "train.crop_ratio": 1,
    "train.loss_scale_window": 1,
    "train.nodes": 1,
    "train.micro_batch": 1,
    "train.decoders": 1,
    "train.decode_timeout_s": 1,
    **dict.fromkeys((f"train.{name}" for name in ("min_lr", "warmup_lr", "warmup_epochs", "weight_decay")), 0),
    **dict.fromkeys((f"train.{name}" for name in ("clip_norm", "mixup", "cutmix", "loss_scale_power", "seed")), 0),
    "rates.decode_videos_per_s": 0,
    "rates.load_videos_per_s": 0,
    **dict.fromkeys((f"train.{name}" for name in ("short_epochs", "tasks_per_node", "measure_steps")), 0),
}
MORE_THAN_0 = tuple(f"train.{name}" for name in ("epochs", "base_lr", "eps", "layer_decay", "head_scale", "crop_scale"))
SHARES = {
    "evaluate.tolerance": "a share of the videos",
    "train.tolerance": "a share of the videos",
    "train.crop_scale": "a share of the frame",
    **dict.fromkeys((f"train.{name}" for name in ("label_smoothing", "layer_decay")), "a share"),
    **dict.fromkeys((f"train.{name}" for name in ("mixup_prob", "switch_prob", "flip", "erasing")), "a probability"),
}
"""Shares: 0 to 1, both included."""
BELOW_1 = ("train.drop_path", "train.beta1", "train.beta2")
"""Shares: 0, included, to 1, excluded."""

GPU_ARCH = re.compile(r"(sm_[1-9]\d{1,2}|)")


def check(profile: Profile, source: str) -> None:
    """ValueError, beginning with `source`, that says which key has a wrong value and what would be right."""
    wrong = next(_wrong(profile), None)
    if wrong:
        raise ValueError(f"{source}: {wrong}")


def _value(profile: Profile, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(profile, section), name)


def _wrong(profile: Profile) -> Iterator[str]:
    """Everything that is wrong, a line each."""
    for key, choices in CHOICES.items():
        if (value := _value(profile, key)) not in choices:
            yield f"unknown {key} {value!r}; valid: {', '.join(map(str, choices))}"
    for key, least in AT_LEAST.items():
        if (value := _value(profile, key)) < least:
            yield f"{key} must be at least {least}, not {value:g}"
    for key in MORE_THAN_0:
        if (value := _value(profile, key)) <= 0:
            yield f"{key} must be more than 0, not {value:g}"
    for key, what in SHARES.items():
        if not 0 <= (value := _value(profile, key)) <= 1:
            yield f"{key} must be {what}, from 0 to 1, not {value:g}"
    for key in BELOW_1:
        if not 0 <= (value := _value(profile, key)) < 1:
            yield f"{key} must be at least 0 and less than 1, not {value:g}"
    for name, dataset in profile.datasets.items():
        if dataset.sampling not in DATASETS:
            yield f"datasets.{name}.sampling must be kinetics or ssv2, not {dataset.sampling!r}"
        if dataset.num_classes < 1:
            yield f"datasets.{name}.num_classes must be at least 1"
        if min(dataset.stride, dataset.weights_stride, dataset.videos, dataset.train_videos) < 0:
            yield f"datasets.{name}: stride, weights_stride, videos and train_videos must be at least 0"
    for section in ("checkpoints", "pretrained"):
        for key in getattr(profile, section):
            if instead := profile.stand_in.models.get(key.partition("/")[0]):
                yield (
                    f'{section}."{key}" would not be used, as {instead} stands in for that model; set the weights of '
                    f"{instead}, or take a profile without stand_in.models"
                )
    launch = profile.launch
    if launch.gpus_per_task > 1:
        yield f"launch.gpus_per_task must be 0 or 1, not {launch.gpus_per_task}"
    if launch.executor == "slurm" and launch.tasks == 0:
        yield "launch.tasks must be at least 1 with executor slurm"
    if re.search(r"[^\w.-]", launch.gpu_type):
        yield f"launch.gpu_type must be a name, as v100, not {launch.gpu_type!r}"
    if not GPU_ARCH.fullmatch(launch.gpu_arch):
        yield f"launch.gpu_arch must be a compute capability, as sm_70, or empty, not {launch.gpu_arch!r}"
    yield from _wrong_training(profile.train)
    yield from _wrong_rates(profile.rates)


def _wrong_training(train: Train) -> Iterator[str]:
    if train.short_epochs and (train.short_frames < 2 or train.short_frames % 2):
        yield f"train.short_frames must be even and at least 2 where there are short epochs, not {train.short_frames}"
    if train.warmup_epochs >= train.epochs + train.short_epochs:
        whole = f"all {train.epochs + train.short_epochs:g} epochs"
        yield f"train.warmup_epochs must be less than {whole}, not {train.warmup_epochs:g}"
    if train.randaugment and not RANDAUGMENT.fullmatch(train.randaugment):
        yield f"train.randaugment must be as rand-m9-mstd0.5-inc1, or empty, not {train.randaugment!r}"
    clips = train.micro_batch * train.repeats
    if (train.mixup or train.cutmix) and clips % 2:
        yield (
            f"train.mixup and train.cutmix mix pairs, and train.micro_batch × train.repeats = {train.micro_batch} × "
            f"{train.repeats} clips are no pairs; one of the two must be even"
        )
    try:
        accumulation(train.batch, train.nodes * max(1, train.tasks_per_node), train.micro_batch)
    except ValueError as error:
        yield f"train: {error}"


def _wrong_rates(rates: Rates) -> Iterator[str]:
    for name in ("clips_per_s", "train_clips_per_s"):
        for key, rate in getattr(rates, name).items():
            model, _, reduction = key.partition("/")
            try:
                canonical(reduction or "none", model)
            except ValueError as error:
                yield f"rates.{name}: {error}; write MODEL or MODEL/REDUCTION"
            if rate <= 0:
                yield f'rates.{name}."{key}" must be more than 0, not {rate:g}'
