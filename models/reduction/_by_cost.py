"""A reduction asked for by what it costs: `tome:gflops=308`, `tome:prop=1,gflops=sta:r=64`."""

import re
from collections.abc import Callable

from models.architecture import Architecture
from models.reduction._base import Reduction

KEY = "gflops="
_BUDGET = re.compile(r"(?P<before>.*?[:,])gflops=(?P<budget>[^,]*)(?P<after>.*)")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


def is_by_cost(text: str) -> bool:
    """Whether a reduction is asked for by its cost."""
    return bool(_BUDGET.fullmatch(text))


def at_cost(
    text: str,
    arch: Architecture,
    method: type[Reduction],
    parse: Callable[[str], Reduction],
    check: Callable[[Reduction, Architecture], None],
) -> Reduction:
    """The one of a method's settings whose GFLOPs on `arch` come nearest to what is asked for, and are not above it.

    The budget is a number, or a reduction, which stands last. ValueError where there is none, or the method's cost
    hangs on what clips show.
    """
    found = _BUDGET.fullmatch(text)
    assert found
    name = method.name
    if method.by_content:
        raise ValueError(f"{text!r}: what {name} costs depends on what clips show; give its own settings instead")
    if not method.dial:
        raise ValueError(f"{text!r}: {name} has no setting by which its cost can be chosen")
    before, budget, after = found["before"], found["budget"], found["after"]
    if _NUMBER.fullmatch(budget):
        most, others = 1e9 * float(budget), before + after.removeprefix(",")
    else:
        try:
            other = parse(budget + after)
        except ValueError as error:
            raise ValueError(
                f"{text!r}: after gflops= stands a number or a reduction, which is last: {error}"
            ) from None
        check(other, arch)
        cost = other.multiply_adds(arch)
        if cost is None:
            raise ValueError(f"{text!r}: what {other} costs depends on what clips show")
        most, others = cost, before
    others = others if others.endswith((":", ",")) else f"{others},"
    for value in method.dialled(arch):
        reduction = parse(f"{others}{method.dial}={value}")
        cost = reduction.multiply_adds(arch)
        if cost is not None and cost <= most:
            check(reduction, arch)
            return reduction
    raise ValueError(f"{text!r}: no {method.dial} of {name} costs as little on this model")
