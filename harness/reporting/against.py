"""Two measurements of the same cells side by side: what differs, beyond noise or not, and what was different about how
they were made.

Where nothing but the code is different there is no noise: the same videos get the same answers. Other weights, kernels
or machines change answers for either side, and chance decides by how many (McNemar).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.planning.text import plural
from harness.profiles import Profile
from harness.reporting.significance import paired_records
from harness.reporting.table_places import places_of, quartiles
from harness.tables import Table
from results.metrics import METRICS
from results.paired import LEVEL, by_chance, holm, interval
from results.records import CellKey, Record, as_dict
from results.render.table_view import decimals
from results.seeds import run_key, run_name

EQUAL, NOISE, DIFFERS, UNKNOWN = "equal", "within noise", "differs", "not comparable"
HOW = ("settings", "versions", "python", "machine", "git")
"""The parts of a record that say how it was measured; the last four are of its provenance."""
PASSING = ("host", "memory", "threads", "system")
"""Of these, what is told apart by nothing that could alter a value."""
HEADERS = ("row", "column", "metric", "here", "there", "difference", "verdict")
_CODE = re.compile(r"git\.|settings\.(method|plugin)$")
"""What says which code it was."""
ROUNDING = 1e-3
"""Share by which a mean may differ between kernels, versions and hardware."""
NAMED = 3
"""Cells that a difference of settings names; more are counted."""


@dataclass(frozen=True)
class Compared:
    """One cell, measured here and there."""

    row: str
    column: str
    metric: str
    here: Record | None
    there: Record | None
    verdict: str
    why: str
    """What the verdict rests on."""


def compare(
    table: Table, profile: Profile, here: Mapping[CellKey, Record], there: Mapping[CellKey, Record]
) -> list[Compared]:
    """Every place of a table that has a value on either side, run by run; `here` and `there` are the records that stand
    for its cells. The tests of accuracies are corrected for being several (Holm)."""
    found: list[Compared] = []
    chances: dict[int, float] = {}
    for entry, place in zip(table.entries, places_of(table, profile, here), strict=True):
        for seed in table.seeds_of(entry.cell):
            one, other = place.runs.get(seed), there.get(run_key(place.cell, seed))
            if not one and not other:
                continue
            verdict, why, chance = _judge(one, other)
            if chance is not None:
                chances[len(found)] = chance
            row = run_name(entry.row, seed)
            found.append(Compared(row, entry.column, entry.cell.metric, one, other, verdict, why))
    corrected = holm(list(chances.values()))
    for number, chance in zip(chances, corrected, strict=True):
        found[number] = replace(found[number], verdict=DIFFERS if chance <= LEVEL else NOISE)
    return found


def _judge(here: Record | None, there: Record | None) -> tuple[str, str, float | None]:
    """The verdict and why; of accuracies whose answers differ, how probable that is by chance, which decides."""
    if not here or not there:
        return UNKNOWN, f"measured {'here' if here else 'there'} only", None
    kind = METRICS[here.cell["metric"]].kind
    if kind == "accuracy":
        return _of_accuracies(here, there)
    if here.value == there.value:
        return EQUAL, "", None
    if kind == "timing":
        return _of_timings(here, there)
    if kind == "content":
        return _of_means(here, there)
    return DIFFERS, "it is counted, without noise", None


def _of_means(here: Record, there: Record) -> tuple[str, str, float | None]:
    """Of means over the same views: by rounding, which differs with hardware, kernels and versions."""
    apart = abs(here.value - there.value) / max(abs(here.value), abs(there.value))
    if apart < ROUNDING and here.counts == there.counts and not _only_code_differs(here, there):
        return NOISE, f"by a share of {apart:.1g}, as rounding may", None
    return DIFFERS, f"by a share of {apart:.1g}", None


def _of_accuracies(here: Record, there: Record) -> tuple[str, str, float | None]:
    try:
        pair = paired_records(there, here)
    except ValueError as error:
        same = here.value == there.value and here.counts == there.counts
        return (EQUAL, "by value and number of videos", None) if same else (UNKNOWN, str(error), None)
    if not pair.changed:
        return EQUAL, f"the same {pair.videos:,} answers", None
    low, high = interval(pair)
    why = f"{pair.changed:,} of {pair.videos:,} answers differ"
    if _only_code_differs(here, there):
        return DIFFERS, f"{why}, and nothing but the code does", None
    return NOISE, f"{why}; 95 % interval {low:+.2f} to {high:+.2f}", by_chance(pair)


def _only_code_differs(here: Record, there: Record) -> bool:
    """Whether settings, versions and hardware are the same, so that the same code would give the same answers."""
    one, other = (dict(_flat(_how(record))) for record in (here, there))
    return all(one.get(name) == other.get(name) for name in one.keys() | other.keys() if not _CODE.match(name))


def _of_timings(here: Record, there: Record) -> tuple[str, str, float | None]:
    """By the middle halves of their samples, which do not overlap where more than noise differs."""
    one, other = quartiles(here), quartiles(there)
    ratio = f"{here.value / there.value:.3f} times" if there.value else "there is no ratio"
    if one[0] is None or other[0] is None or one[1] is None or other[1] is None:
        return UNKNOWN, f"{ratio}; without samples, noise is not known", None
    machines = [as_dict(record.provenance.get("machine")) for record in (here, there)]
    if any(machines[0].get(part) != machines[1].get(part) for part in ("cpu", "gpu")):
        return UNKNOWN, f"{ratio}, on other hardware", None
    apart = one[0] > other[1] or other[0] > one[1]
    return (DIFFERS if apart else NOISE), f"{ratio}; the middle halves of the samples {'do not ' * apart}overlap", None


def how_they_differ(compared: Iterable[Compared]) -> list[str]:
    """A line for each setting, version, part of the hardware or commit that is not the same here and there."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for one in compared:
        if one.here and one.there:
            here, there = (dict(_flat(_how(record))) for record in (one.here, one.there))
            for name in sorted(here.keys() | there.keys()):
                if here.get(name) != there.get(name):
                    values = (str(here.get(name, "not recorded")), str(there.get(name, "not recorded")))
                    found.setdefault((name, *values), []).append(f"{one.row}, {one.column}")
    lines = []
    for (name, at_hand, elsewhere), cells in found.items():
        where = "; ".join(cells) if len(cells) <= NAMED else plural(len(cells), "cell")
        lines.append(f"{name}: {at_hand} here, {elsewhere} there ({where})")
    return lines


def _how(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = {"settings": record.settings}
    found |= {name: record.provenance.get(name) for name in HOW[1:]}
    found["machine"] = {key: part for key, part in as_dict(found["machine"]).items() if key not in PASSING}
    return found


def _flat(content: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    """The values of nested mappings by dotted names, without paths: what they lead to has its digest."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif name != "path" and not str(value).startswith("/"):
            yield f"{before}{name}", value


def lines_of(compared: Sequence[Compared]) -> list[list[str]]:
    """The table to print: row, column, metric, here, there, difference, verdict and why."""
    rows = []
    for one in compared:
        digits = decimals(one.metric)
        texts = [f"{record.value:.{digits}f}" if record else "" for record in (one.here, one.there)]
        change = _change(one.here.value - one.there.value, digits) if one.here and one.there else ""
        verdict = f"{one.verdict}: {one.why}" if one.why else one.verdict
        rows.append([one.row, one.column, one.metric, *texts, change, verdict])
    return rows


def _change(difference: float, digits: int) -> str:
    """With its sign, and never as zero where it is not."""
    text = f"{difference:+.{digits}f}"
    return f"{difference:+.2g}" if difference and not float(text) else text


def summary(compared: Sequence[Compared]) -> str:
    """How many cells there are of each verdict, in one line."""
    counts = {verdict: sum(one.verdict == verdict for one in compared) for verdict in (DIFFERS, UNKNOWN, NOISE, EQUAL)}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
