"""The contract between a reduction and a model: when it acts, what it goes by, what it decides. Loads no torch."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from models.architecture import Architecture
from models.plugin_code import PACKAGE, Misuse, file_of, is_plugin, line_of
from models.reduction._settings import spelled

if TYPE_CHECKING:
    from torch import Tensor

REGISTRY: dict[str, type[Reduction]] = {}
Method = TypeVar("Method", bound="type[Reduction]")
Left = Callable[[int, int], int | None]
Place = Literal["before", "between", "after"]
Need = Literal["keys", "queries", "values", "attention", "pixels"]


def register(method: Method) -> Method:
    """Enter a method under the `name` that it gives itself, else that of its file. Misuse where the name is taken, or
    it does not follow the contract."""
    if not (isinstance(method, type) and issubclass(method, Reduction)):
        raise Misuse(f"@register is for a class of reductions, not {method!r}")
    method.name = vars(method).get("name") or method.__module__.rpartition(".")[2]
    if is_plugin(method):
        _check_plugin(method)
    REGISTRY[method.name] = method
    return method


@dataclass(frozen=True)
class Seen:
    """What a reduction goes by at one stage. Numbers are float32 or, in a float64 model, float64.

    Of the fields that default to None there are those that the method's `needs` names.
    """

    arch: Architecture
    stage: int
    """Counted from 1."""
    block: int
    """At which it runs, counted from 1."""
    tokens: Tensor
    """(B, N, C)."""
    sizes: Tensor | None
    """(B, N) how much each token weighs after merges; None before the first."""
    keys: Tensor | None = None
    """(B, N, C / heads) of the block's attention, averaged over heads; so are queries and values. On a grid, of the
    block before, averaged over the tokens merged since."""
    queries: Tensor | None = None
    values: Tensor | None = None
    attention: Tensor | None = None
    """(B, N, N) the softmax of the scaled logits, without sizes, averaged over heads; row i is where token i looks."""
    pixels: Tensor | None = None
    """(B, 3, F, H, W) the clips as the model got them."""


@dataclass(frozen=True)
class Choice:
    """What a reduction decides: some of N tokens stay, some are merged into those, the others are dropped."""

    kept: Tensor
    """(B, M) positions of the tokens that stay, in their new order; or, where clips keep different numbers, (B, N)
    bool, which leaves the order as it is and merges nothing."""
    merged: Tensor | None = None
    """(B, R) positions of the tokens that are merged."""
    into: Tensor | None = None
    """(B, R) for each of them the index in `kept` of the token that takes it in; one token may take in several."""
    weights: Tensor | None = None
    """(B, R) by which their sizes are multiplied; None: 1. Of a token of weight 0 nothing is left."""


@dataclass(frozen=True)
class Reduction:
    """A reduction that never drops anything; methods override what they change."""

    name: ClassVar[str]
    place: ClassVar[Place] = "after"
    """Where in its blocks it acts: before the block (the first only), between its attention and its MLP, after it."""
    needs: ClassVar[tuple[Need, ...]] = ()
    """What it goes by beside the tokens and their sizes. `attention` costs the fused kernel in its blocks."""
    by_size: ClassVar[bool] = False
    """Whether the tokens that are left are pooled by size, Σ size·x / Σ size, rather than by their plain mean."""
    by_content: ClassVar[bool] = False
    """Whether how many tokens stay hangs on what a clip shows."""
    near_ties: ClassVar[bool] = False
    """Whether its choices hang on the order of many nearly equal scores, which another kernel or machine may change."""
    dial: ClassVar[str] = ""
    """The setting by which a cost is chosen; empty: there is none."""

    @classmethod
    def dialled(cls, arch: Architecture) -> Iterable[str]:
        """The values of `dial`, as they are written, from the dearest to the cheapest."""
        return ()

    @property
    def proportional(self) -> bool:
        """Whether log(size) of the keys is added to the scaled logits of attention (ToMe, section 3.2)."""
        return False

    def stages(self, depth: int) -> tuple[int, ...]:
        """The blocks, counted from 1 and ascending, in each of which one stage runs."""
        return ()

    def blocks(self, arch: Architecture) -> tuple[int, ...]:
        """The blocks of `arch`, counted from 1, at which its stages run."""
        return self.stages(arch.depth)

    def placed(self, arch: Architecture) -> Place:
        """Where at these blocks."""
        return self.place

    def check(self, arch: Architecture) -> None:
        """Raise ValueError where this reduction cannot run on `arch`."""

    def choose(self, seen: Seen) -> Choice | None:
        """Decide about the tokens of some clips, each by itself; None: all stay. No gradient flows through this."""
        raise NotImplementedError

    def maps(self, seen: Seen, choice: Choice) -> dict[str, Tensor]:
        """For figures, by name, what a choice rested on: a value of each token, (B, N), not a number where one has
        none."""
        return {}

    def slots(self, stage: int, arch: Architecture) -> int:
        """The groups, one behind the other and of one size, in which tokens compete with each other at a stage."""
        return 1

    def left(self, count: int, stage: int, arch: Architecture) -> int | None:
        """How many of a clip's `count` tokens a stage leaves; None where that shows only when it runs."""
        return None

    def products(self, count: int, stage: int, arch: Architecture) -> int:
        """Multiply-adds of a stage's own matrix products on `count` tokens."""
        return 0

    def tokens(self, arch: Architecture, left: Left | None = None) -> list[tuple[int, int]] | None:
        """How many tokens of a clip each block's attention and MLP work on; None where that shows only when it runs.

        left: of a stage that found so many tokens, as `left(count, stage)`, what it left; else as `self.left` says.
        """
        walked = self._walk(arch, left)
        return None if walked is None else walked[0]

    def multiply_adds(self, arch: Architecture, left: Left | None = None) -> int | None:
        """What one clip costs a model of this architecture, its own products included; None and `left` as above."""
        walked = self._walk(arch, left)
        return None if walked is None else arch.multiply_adds(walked[0]) + walked[1]

    def fit(self, source: Architecture, target: Architecture) -> tuple[Reduction, str]:
        """The same reduction for a model of another size, and a note where it could not be carried over exactly."""
        return self, ""

    def canonical(self, arch: Architecture) -> str:
        """The one spelling of this reduction on `arch`, so that equal reductions share their records."""
        return str(self) if self.blocks(arch) else "none"

    def settings(self) -> dict[str, Any]:
        """The settings that are not their defaults, in the order in which they are written."""
        values = {field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}

    def __str__(self) -> str:
        parts = [f"{name}={spelled(value)}" for name, value in self.settings().items()]
        return f"{self.name}:{','.join(parts)}" if parts else self.name

    def _walk(self, arch: Architecture, left: Left | None) -> tuple[list[tuple[int, int]], int] | None:
        """The tokens of each block's attention and MLP, and the multiply-adds of the stages' own products."""
        stages, place, count, own = self.blocks(arch), self.placed(arch), 0, 0
        counts = []
        for block in range(1, arch.depth + 1):
            found = count = arch.starts.get(block, count)
            if block in stages:
                stage = stages.index(block) + 1
                after = left(found, stage) if left else self.left(found, stage, arch)
                if after is None:
                    return None
                own += self.products(found, stage, arch)
                count = after
            counts.append((count if place == "before" else found, found if place == "after" else count))
        return counts, own


def _check_plugin(method: type[Reduction]) -> None:
    """Misuse where a user's method has the name of another, or functions that cannot be called as the contract says."""
    name, known = method.name, REGISTRY.get(method.name)
    if (PACKAGE / "reduction" / f"{name}.py").exists():
        raise Misuse(f"{name!r} is the name of a built-in reduction; give the file, or `name`, another")
    if known and (file_of(known) != file_of(method) or known.__qualname__ != method.__qualname__):
        raise Misuse(f"{name!r} is the name of the reduction in {file_of(known)}; give one of them another `name`")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", name):
        raise Misuse(f"{name!r} cannot be the name of a reduction: letters, digits, - and _, a letter first")
    keep, choose = getattr(method, "keep", None), method.choose
    if choose is Reduction.choose:
        raise Misuse(f"{method.__name__} must define choose(seen), which tokens stay")
    if keep and keep.__qualname__ == "Staged.keep" and choose.__qualname__ == "Staged.choose":
        raise Misuse(f"{method.__name__} must define keep(tokens, keys, stage), which tokens stay")
    for base in reversed(method.__mro__[1:]):
        for attribute, ours in vars(base).items():
            function = getattr(method, attribute, None)
            contract = inspect.isfunction(ours) and not attribute.startswith("_") and base.__module__ != "builtins"
            if contract and inspect.isfunction(function) and is_plugin(function):
                parameters = list(inspect.signature(ours).parameters)
                try:
                    inspect.signature(function).bind(*parameters)
                except TypeError:
                    raise Misuse(f"{attribute} must take ({', '.join(parameters)})", line_of(function)) from None
