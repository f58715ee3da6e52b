"""Profiles: where to run and at what scale. The built-in ones are TOML files in this folder; a user's is a file.

Every key of a profile is a field in `sections`; `--set evaluate.batch_size=16` overrides one by its dotted name. In
paths, `{runs}` stands for the runs folder, `{models}` for the installed `models` package, `~` and `$NAME` mean what
they mean in a shell, and relative paths belong to the profile's own folder.
"""

import os
import re
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from harness.profiles.checks import check
from harness.profiles.sections import SCRATCH as SCRATCH
from harness.profiles.sections import Dataset as Dataset
from harness.profiles.sections import Launch as Launch
from harness.profiles.sections import Plugins
from harness.profiles.sections import Profile as Profile
from harness.profiles.sections import Rates as Rates
from harness.profiles.toml import read_toml
from jobs.spec.plugins import load_plugins

FOLDER = Path(__file__).parent


def profile_names() -> list[str]:
    """The names of the built-in profiles."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def profile_lines() -> list[tuple[str, str]]:
    """The built-in profiles, with the first sentence of what their files say."""
    heads = {name: (FOLDER / f"{name}.toml").read_text(encoding="utf-8") for name in profile_names()}
    return [(name, head.removeprefix("# ").partition(". ")[0].partition("\n")[0]) for name, head in heads.items()]


def load_profile(
    name: str | None = None, overrides: list[str] | None = None, plugins: Iterable[str] | None = None
) -> Profile:
    """The profile called `name`, or in the TOML file `name`, with `KEY=VALUE` overrides applied, and its plugins, and
    those in the further paths `plugins`, loaded.

    Without a name: $HARNESS_PROFILE, else harness.toml in the working folder, else `demo`. ValueError saying what is
    wrong where, and what would be right.
    """
    name = name or os.environ.get("HARNESS_PROFILE") or ("harness.toml" if Path("harness.toml").exists() else "demo")
    path = FOLDER / f"{name}.toml" if name in profile_names() else Path(name)
    if path.suffix != ".toml":
        raise ValueError(
            f"unknown profile {name!r}; valid profiles: {', '.join(profile_names())}, or your own TOML file"
        )
    further = [Path(_expanded(one)).absolute() for one in plugins or ()]
    given = overrides or []
    try:
        return _made(path, given, further, f"profile {path}")
    except ValueError:
        for number, override in enumerate(given):
            with suppress(ValueError):
                _made(path, given[:number] + given[number + 1 :], further, "")
                source = f"--set {override}"  # without which all is right
                break
        else:  # Several are wrong, or the file is.
            for count in range(len(given) + 1):
                _made(path, given[:count], further, f"--set {given[count - 1]}" if count else f"profile {path}")
            raise
    return _made(path, given, further, source)


def resolve(path: str, profile: Profile, runs: Path) -> Path:
    """An absolute path from one written in a profile; ValueError where a variable in it is not set."""
    models = Path(__file__).parents[2] / "models"
    for name in re.findall(r"\$\{?(\w+)", path):
        if name not in os.environ:
            raise ValueError(f"profile {profile.name}: the path {path} needs ${name}, which is not set")
    expanded = _expanded(path).replace("{runs}", str(runs)).replace("{models}", str(models))
    return (Path(profile.folder) / expanded).absolute()


def shown_video(profile: Profile) -> str:
    """The absolute path of the video that figures are to show; empty where they show some of their dataset."""
    return str(Path(_expanded(profile.video)).absolute()) if profile.video else ""


def _expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))


def _made(path: Path, overrides: list[str], further: list[Path], source: str) -> Profile:
    data = read_toml(path, "profile")
    for override in overrides:
        _override(data, override)
    if "folder" in data:
        raise ValueError(f"{source}: folder is the place of the profile's file and cannot be set")
    data.setdefault("name", path.stem)
    data["folder"] = str(path.parent)
    profile: Profile = _build(Profile, data, "", source)
    own = [(path.parent / _expanded(one)).absolute() for one in profile.plugins.paths]
    profile = replace(profile, plugins=Plugins(tuple(map(str, [*own, *further]))))
    load_plugins(profile.plugins.paths)
    check(profile, source)
    return profile


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    # A part that contains dots is quoted, as in TOML.
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
    if hint in (str, int, bool) and type(value) is hint:
        return value
    wanted = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(
        hint, "a list" if origin is tuple else "a table"
    )
    raise ValueError(f"{source}: {where} must be {wanted}, not {value!r}")
