"""Token reductions by name: `none`, `sta:r=48`, `sta:r=64,at=3-11-19`, `tome:r=65,prop=1`, `rlt`.

A method is one file in this folder, or in one of a user's, holding a class decorated with `@register`; the file's name
is the method's name and the class's dataclass fields are its settings. Nothing here loads torch, so that a sweep can be
checked before anything is queued.
"""

import dataclasses
import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, get_type_hints

from models.architecture import Architecture
from models.plugin_code import digest_of, file_of, is_plugin
from models.reduction._base import REGISTRY, Choice, Reduction, Seen, register
from models.reduction._by_cost import at_cost, is_by_cost
from models.reduction._settings import kind, read
from models.reduction._staged import Staged

__all__ = [
    "Choice",
    "Reduction",
    "Seen",
    "Staged",
    "check",
    "is_by_cost",
    "is_method",
    "method_of",
    "methods",
    "parse",
    "reduction_on",
    "register",
    "registered",
    "source_digest",
]


OWN = ", or those in files given with --plugin"


def methods() -> list[str]:
    """The names of all methods, users' included."""
    folders = tuple((folder, os.stat(folder).st_mtime_ns) for folder in __path__)
    return sorted({*_built_in(folders), *(name for name, method in REGISTRY.items() if is_plugin(method))})


def is_method(name: str) -> bool:
    """Whether there is a method of this name; where it is loaded already, without looking for files."""
    return name in REGISTRY or name in methods()


@cache
def _built_in(folders: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """The methods in `folders`, each with when a file in it was last added or removed."""
    found = iter_modules([folder for folder, _ in folders])
    return tuple(module.name for module in found if not module.name.startswith("_"))


def source_digest(name: str) -> str:
    """A short digest of a method's file, of those of methods it is built on, and of what these import beside them: a
    changed method is measured again."""
    try:
        bases = [one for one in registered(name).__mro__ if issubclass(one, Reduction) and one is not Reduction]
    except ValueError:  # that it cannot be loaded is said where it is asked for
        found = find_spec(f"{__name__}.{name}")
        assert found is not None
        assert found.origin is not None
        return digest_of(Path(found.origin))
    return "-".join(dict.fromkeys(digest_of(file_of(one)) for one in bases))


def registered(name: str) -> type[Reduction]:
    """The class of the method `name`; ValueError where its file cannot be loaded, or has none."""
    if name in REGISTRY:
        return REGISTRY[name]
    try:
        import_module(f"{__name__}.{name}")
    except Exception as error:
        raise ValueError(f"models/reduction/{name}.py cannot be loaded: {type(error).__name__}: {error}") from error
    if name not in REGISTRY:
        raise ValueError(f"models/reduction/{name}.py has no class decorated with @register")
    return REGISTRY[name]


def method_of(text: str) -> type[Reduction]:
    """The class of the method that `text` names; ValueError where there is none."""
    name = text.strip().partition(":")[0]
    if not is_method(name):
        raise ValueError(f"unknown reduction {name!r} in {text!r}; valid reductions: {', '.join(methods())}{OWN}")
    return registered(name)


@cache
def reduction_on(text: str, arch: Architecture) -> Reduction:
    """The reduction that `text` names on a model, by its settings or by its cost, as `tome:gflops=308`; ValueError
    saying what is wrong and what would be valid."""
    _check_method(method_of(text), arch)
    if is_by_cost(text.strip()):
        return at_cost(text.strip(), arch, method_of(text), parse, check)
    reduction = parse(text)
    check(reduction, arch)
    return reduction


def check(reduction: Reduction, arch: Architecture) -> None:
    """ValueError where a reduction cannot run on a model, with the reason and what would be valid."""
    _check_method(type(reduction), arch)
    reduction.check(arch)


def _check_method(method: type[Reduction], arch: Architecture) -> None:
    def fits(one: type[Reduction]) -> bool:
        base = Staged if issubclass(one, Staged) else Reduction
        schedule = all(getattr(one, name) is getattr(base, name) for name in ("stages", "blocks", "placed"))
        # What chooses by itself may also merge; only what `keep` chooses is known to keep and drop.
        return schedule and one.choose is base.choose and one.place == base.place

    if arch.on_grid and not fits(method):
        can = ", ".join(name for name in methods() if fits(registered(name)))
        raise ValueError(
            f"{method.name} cannot run on a model whose tokens stay on a grid, as those of a Video Swin Transformer; "
            f"there a method can only choose which tokens of each slot stay, by `keep` of Staged; those that do: {can}"
        )


@cache
def _hints(method: Any) -> dict[str, Any]:
    return get_type_hints(method)


@cache
def parse(text: str) -> Reduction:
    """The reduction that `text` names by its settings; ValueError saying what is wrong and what would be valid."""
    name, colon, rest = text.strip().partition(":")
    method = method_of(text)
    if is_by_cost(text.strip()):
        raise ValueError(f"{text!r}: what it costs depends on the model; give settings")
    fields = {field.name: field for field in dataclasses.fields(method)}
    hints = _hints(method)  # type: ignore[arg-type]  # a class is hashable, though its instances need not be
    settings: dict[str, object] = {}
    for item in rest.split(",") if colon else []:
        key, equals, value = item.partition("=")
        if not equals or key not in fields or key in settings:
            valid = ", ".join(f"{k}=…" for k in fields) or "none at all"
            raise ValueError(f"bad setting {item!r} in reduction {text!r}; {name} takes {valid}, each once")
        try:
            settings[key] = read(value, hints[key])
        except ValueError as error:
            raise ValueError(f"{item} in reduction {text!r} must be {error}") from None
    missing = [k for k, f in fields.items() if f.default is dataclasses.MISSING and k not in settings]
    if missing:
        raise ValueError(f"reduction {text!r} lacks {missing[0]}=…, {kind(hints[missing[0]])}")
    try:
        return method(**settings)
    except ValueError as error:
        raise ValueError(f"reduction {text!r}: {error}") from None
