"""What a job or a plan will take, as numbers and as text; every figure is marked as projected."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from harness.planning.text import duration, significant

SHOWN = 20
"""More jobs than this are shown by kind; more sources than this are not all shown."""
WIDTH = 98
KINDS = {
    "count": "count of GFLOPs",
    "evaluate": "evaluation",
    "measure": "timing",
    "train": "training",
    "visualize": "drawing of figures",
}


@dataclass(frozen=True)
class Cost:
    """What a job takes, or several; None: not known."""

    what: str
    kind: str = ""
    forwards: int | None = 0
    """Clips that go through a model, in evaluation and timing."""
    task_hours: float | None = 0.0
    """Over all its tasks."""
    hours: float | None = 0.0
    """Of GPUs, or without any of CPU cores."""
    wall_hours: float | None = 0.0
    """From the start of its first task to the end of its last."""
    disk: int | None = 0
    """Most bytes in the runs folder at a time."""
    more: tuple[str, ...] = ()
    """Which of the fields are but a part, as the rest is not known."""

    @property
    def known(self) -> bool:
        """Whether all of it is."""
        return self.hours is not None and not self.more


@dataclass(frozen=True)
class Estimate:
    """What a plan takes."""

    costs: list[Cost]
    """Of each job, in the plan's order."""
    total: Cost
    unit: str
    """GPU-hours or core-hours."""
    sources: list[str]
    """Where each rate and number comes from."""
    missing: list[str]
    """Files that are not here; jobs are planned as if they were."""
    unknown: list[str]
    """What is not known, and how to say it."""
    notes: list[str]
    by_kind: list[Cost]
    """Of the jobs of each kind together."""


def add(what: str, costs: Sequence[Cost]) -> Cost:
    """The cost of several together, nothing of none; a field is None where it is of none of them known."""
    totals, more = {}, []
    for name in ("forwards", "task_hours", "hours", "wall_hours", "disk"):
        known = [value for one in costs if (value := getattr(one, name)) is not None]
        totals[name] = sum(known) if known or not costs else None
        if known and len(known) < len(costs):
            more.append(name)
    return Cost(what, costs[0].kind if costs else "", **totals, more=tuple(more))


def lines(estimate: Estimate) -> list[str]:
    """An estimate as text, at most 100 columns wide."""
    costs = estimate.costs
    if not costs:
        return []
    if len(costs) > SHOWN:
        costs = estimate.by_kind
    left_out = "without queueing, start-up, and what is done again after a stop; jobs that have begun count whole"
    said = [*table([*costs, estimate.total], "projected", estimate.unit), left_out]
    titles = {"from": estimate.sources, "not here": estimate.missing, "not known": estimate.unknown}
    for title, texts in (titles | {"note": estimate.notes}).items():
        for text in texts[:SHOWN]:
            said += textwrap.wrap(f"{title}: {text}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        if len(texts) > SHOWN:
            said.append(f"{title}: … and {len(texts) - SHOWN} more")
    return said


def table(costs: Sequence[Cost], what: str, unit: str) -> list[str]:
    """A line for each of several costs, which are of what `what` names, below a header."""
    from tabulate import tabulate

    headers = [what, "forward passes", unit, "time", "disk"]
    rows = [_row(one) for one in costs]
    return tabulate(rows, headers, colalign=("left", *["right"] * 4), disable_numparse=True).splitlines()


def _row(one: Cost) -> list[str]:
    shown = [
        ("forwards", one.forwards and f"{one.forwards:,}"),
        ("hours", one.hours and significant(one.hours)),
        ("wall_hours", one.wall_hours and duration(one.wall_hours)),
        ("disk", one.disk and _bytes(one.disk)),
    ]
    return [one.what, *(_shown(text, name in one.more) for name, text in shown)]


def _shown(text: float | str | None, more: bool) -> str:
    if text is None or (more and not text):
        return "?"
    return f"{'> ' * more}~{text}" if text else "–"


def _bytes(count: int) -> str:
    power, unit = next((one for one in ((9, "GB"), (6, "MB")) if count >= 10 ** one[0]), (3, "kB"))
    return f"{significant(count / 10**power, 2)} {unit}"
