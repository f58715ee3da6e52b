"""Profiles: where to run and at what scale. The built-in ones are TOML files in this folder; a user's is a file.

Every key of a profile is a field below; `--set evaluate.batch_size=16` overrides one by its dotted name. In paths,
`{runs}` stands for the runs folder, `{models}` for the installed `models` package, `~` and `$NAME` mean what they mean
in a shell, and relative paths belong to the profile's own folder.
"""

import os
import re
import tomllib
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from jobs.spec import PRECISIONS

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Launch:
    """How jobs are started, and what each of their tasks gets."""

    executor: str = "local"
    """`local`: processes on this machine; `slurm`: sbatch through submitit."""
    tasks: int = 0
    """Tasks that an evaluation is split into; 0: as many as run here at a time, one a core (local only)."""
    cpus_per_task: int = 1
    """CPU cores a task, decoder processes included."""
    gpus_per_task: int = 0
    """GPUs a task: 0 or 1."""
    mem_gb: int = 0
    """Memory a task, in GB; 0: the cluster's default (slurm)."""
    time_min: int = 1440
    """Time limit of a task, in minutes."""
    parallel: int = 0
    """Array tasks that run at the same time; 0: as many as the cluster grants (slurm)."""
    partition: str = ""
    """Partition (slurm); empty: the cluster's default, as for the next four."""
    account: str = ""
    """Account (slurm)."""
    qos: str = ""
    """Quality of service (slurm)."""
    constraint: str = ""
    """Node features asked for (slurm)."""
    exclude: str = ""
    """Nodes to leave out (slurm)."""
    setup: tuple[str, ...] = ()
    """Shell lines run before the job's, as `module load …`."""


@dataclass(frozen=True)
class Evaluate:
    """How accuracies are measured."""

    precision: str = "fp32"
    """fp32, fp16 or bf16 (mixed precision)."""
    batch_size: int = 32
    """Clips in a forward pass."""
    block: int = 16
    """Videos that are finished and saved together; a killed task repeats one block at most."""
    decoders: int = 1
    """Decoder processes a task."""
    decode_timeout_s: float = 60.0
    """Seconds after which a video counts as unreadable."""
    tolerance: float = 0.01
    """Share of unreadable videos, 0 to 1, above which a job fails."""


@dataclass(frozen=True)
class Measure:
    """How throughput is measured."""

    precision: str = "fp16"
    """fp32, fp16 or bf16 (mixed precision)."""
    batch_size: int = 32
    """Clips in a forward pass."""
    samples: int = 30
    """Timed samples after the warm-up; end to end, blocks of videos, at most as many as the set has."""
    counter: str = "meta"
    """What counts GFLOPs: `meta` (torch's counter, no weights) or `fvcore` (on real tensors, slower)."""


@dataclass(frozen=True)
class Dataset:
    """A list of labelled videos."""

    labels: str
    """Label file of the test split, `<path> <label>` a line."""
    root: str
    """Folder to which relative paths in it belong."""
    num_classes: int
    sampling: str
    """`kinetics` (dense) or `ssv2` (segments)."""
    stride: int = 4
    """Every how many frames one is taken (dense sampling only)."""
    prepare: str = ""
    """Module that makes the data where the label file is missing, run as `python -m MODULE ROOT`."""


@dataclass(frozen=True)
class StandIn:
    """What takes the place of the paper's models and data where those are out of reach."""

    models: dict[str, str] = field(default_factory=dict)
    """Paper's model → the model run instead. GFLOPs are always the paper's model's."""
    datasets: dict[str, str] = field(default_factory=dict)
    """Paper's dataset → the one evaluated instead."""


@dataclass(frozen=True)
class Profile:
    """Everything that says where and how to run."""

    name: str
    datasets: dict[str, Dataset]
    checkpoints: dict[str, str]
    """`MODEL/DATASET` → weights (VideoMAE .pth, safetensors, or a Hugging Face folder)."""
    launch: Launch = field(default_factory=Launch)
    evaluate: Evaluate = field(default_factory=Evaluate)
    measure: Measure = field(default_factory=Measure)
    stand_in: StandIn = field(default_factory=StandIn)
    folder: str = "."
    """Where relative paths start; set from the file's own place."""


CHOICES = {
    "launch.executor": ("local", "slurm"),
    "evaluate.precision": PRECISIONS,
    "measure.precision": PRECISIONS,
    "measure.counter": ("meta", "fvcore"),
}
AT_LEAST = {
    "launch.tasks": 0,
    "launch.cpus_per_task": 1,
    "launch.gpus_per_task": 0,
    "launch.mem_gb": 0,
    "launch.time_min": 1,
    "launch.parallel": 0,
    "evaluate.batch_size": 1,
    "evaluate.block": 1,
    "evaluate.decoders": 1,
    "evaluate.decode_timeout_s": 1,
    "measure.batch_size": 1,
    "measure.samples": 5,
}


def profile_names() -> list[str]:
    """The names of the built-in profiles."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_profile(name: str | None = None, overrides: list[str] | None = None) -> Profile:
    """The profile called `name`, or in the TOML file `name`, with `KEY=VALUE` overrides applied.

    Without a name: $HARNESS_PROFILE, else harness.toml in the working folder, else `demo`. ValueError saying what is
    wrong where, and what would be right.
    """
    name = name or os.environ.get("HARNESS_PROFILE") or ("harness.toml" if Path("harness.toml").exists() else "demo")
    path = FOLDER / f"{name}.toml" if name in profile_names() else Path(name)
    if path.suffix != ".toml":
        raise ValueError(
            f"unknown profile {name!r}; valid profiles: {', '.join(profile_names())}, or your own TOML file"
        )
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"cannot read profile {path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"profile {path}: {error}") from None
    for override in overrides or []:
        _override(data, override)
    if "folder" in data:
        raise ValueError(f"profile {path}: folder is the place of the profile's file and cannot be set")
    data.setdefault("name", path.stem)
    data["folder"] = str(path.parent)
    profile: Profile = _build(Profile, data, "", f"profile {path}")
    _check(profile, f"profile {path}")
    return profile


def resolve(path: str, profile: Profile, runs: Path) -> Path:
    """An absolute path from one written in a profile; ValueError where a variable in it is not set."""
    models = Path(__file__).parents[2] / "models"
    for name in re.findall(r"\$\{?(\w+)", path):
        if name not in os.environ:
            raise ValueError(f"profile {profile.name}: the path {path} needs ${name}, which is not set")
    expanded = os.path.expandvars(os.path.expanduser(path))
    expanded = expanded.replace("{runs}", str(runs)).replace("{models}", str(models))
    return (Path(profile.folder) / expanded).absolute()


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    # Quotes stand around a part that has dots of its own, as in TOML.
    parts = [part.strip("\"'") for part in re.findall(r"""(?:"[^"]*"|'[^']*'|[^."'])+""", key)]
    if not equals or not parts:
        raise ValueError(f"--set {override}: write KEY=VALUE, as in --set evaluate.batch_size=16")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text
    for parent in parts[:-1]:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise ValueError(f"--set {override}: {parent} has no keys below it")
    data[parts[-1]] = value


def _build(kind: type, data: Any, where: str, source: str) -> Any:
    """An instance of the dataclass `kind` from plain data, every key and type checked."""
    if not isinstance(data, dict):
        raise ValueError(f"{source}: {where or 'it'} must be a table, not {data!r}")
    hints = get_type_hints(kind)
    known = [f.name for f in fields(kind)]
    for key in data:
        if key not in known:
            valid = ", ".join(name for name in known if name != "folder")
            raise ValueError(f"{source}: unknown key {f'{where}.{key}'.lstrip('.')!r}; valid keys there: {valid}")
    required = [f.name for f in fields(kind) if f.default is f.default_factory]  # both are MISSING
    if missing := [name for name in required if name not in data]:
        raise ValueError(f"{source}: {f'{where}.{missing[0]}'.lstrip('.')} is missing")
    return kind(**{key: _value(hints[key], value, f"{where}.{key}".lstrip("."), source) for key, value in data.items()})


def _value(hint: Any, value: Any, where: str, source: str) -> Any:
    if is_dataclass(hint):
        return _build(hint, value, where, source)  # type: ignore[arg-type]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is dict and isinstance(value, dict):
        return {key: _value(arguments[1], one, f"{where}.{key}", source) for key, one in value.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(_value(arguments[0], one, where, source) for one in value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    if hint in (str, int) and type(value) is hint:
        return value
    wanted = {int: "a whole number", float: "a number", str: "text"}.get(
        hint, "a list" if origin is tuple else "a table"
    )
    raise ValueError(f"{source}: {where} must be {wanted}, not {value!r}")


def _check(profile: Profile, source: str) -> None:
    for key, choices in CHOICES.items():
        section, name = key.split(".")
        value = getattr(getattr(profile, section), name)
        if value not in choices:
            raise ValueError(f"{source}: unknown {key} {value!r}; valid: {', '.join(choices)}")
    for key, least in AT_LEAST.items():
        section, name = key.split(".")
        value = getattr(getattr(profile, section), name)
        if value < least:
            raise ValueError(f"{source}: {key} must be at least {least}, not {value}")
    for name, dataset in profile.datasets.items():
        if dataset.sampling not in ("kinetics", "ssv2"):
            raise ValueError(f"{source}: datasets.{name}.sampling must be kinetics or ssv2, not {dataset.sampling!r}")
        if dataset.num_classes < 1 or dataset.stride < 1:
            raise ValueError(f"{source}: datasets.{name}: num_classes and stride must be at least 1")
    if not 0 <= profile.evaluate.tolerance <= 1:
        wrong = f"evaluate.tolerance must be a share of the videos, from 0 to 1, not {profile.evaluate.tolerance:g}"
        raise ValueError(f"{source}: {wrong}")
    if profile.launch.gpus_per_task > 1:
        raise ValueError(f"{source}: launch.gpus_per_task must be 0 or 1, not {profile.launch.gpus_per_task}")
    if profile.launch.executor == "slurm" and profile.launch.tasks == 0:
        raise ValueError(f"{source}: launch.tasks must be at least 1 with executor slurm")
