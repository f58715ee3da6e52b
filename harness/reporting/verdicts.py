"""Whether what was measured agrees with what the paper prints: a verdict by rule for each printed number.

A count agrees within one unit of the last printed digit, as the paper rounds some numbers down. An accuracy, or a mean
over views, agrees where the printed number, give or take half a unit, lies in the measured one's 95 % interval. Of what
a stand-in has measured, of times on another GPU than the paper's, and of values that are not whole there is no verdict.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.profiles import Profile
from harness.reporting.table_places import Place, doubts, places_of, quartiles
from harness.reporting.trends import accuracy_interval
from harness.tables import Table
from results.metrics import METRICS
from results.records import CellKey, Record
from results.render.page.content import Judged
from results.render.table_view import decimals

AGREES, DIFFERS, NO_VERDICT, OPEN = "agrees", "differs", "not comparable", "not measured"
VERDICTS = (AGREES, DIFFERS, NO_VERDICT, OPEN)
HEADERS = ("row", "column", "printed", "measured", "difference", "interval", "verdict")
PAPERS_GPU = "V100"


@dataclass(frozen=True)
class Verdict:
    """On one printed number."""

    row: str
    column: str
    metric: str
    printed: float
    digits: int
    """Decimals that are printed."""
    measured: float | None
    interval: tuple[float, float] | None
    """Of what was measured: of an accuracy and of a mean over views that of 95 %, of a timing the middle half of its
    samples."""
    verdict: str
    why: str


def judged(table: Table, profile: Profile, best: Mapping[CellKey, Record]) -> list[Verdict]:
    """A verdict on each number that is printed of a cell of the table; `best` are the records that stand for cells."""
    found = []
    for entry, place in zip(table.entries, places_of(table, profile, best), strict=True):
        if place.printed is not None:
            interval = _interval(place.record) if place.record else None
            verdict, why = _verdict(place, place.printed, interval)
            value = place.record.value if place.record else None
            why = "; ".join(filter(None, [why, "settings inferred" if entry.inferred and value is not None else ""]))
            about = entry.row, entry.column, entry.cell.metric, place.printed, place.digits
            found.append(Verdict(*about, value, interval, verdict, why))
    return found


def _verdict(place: Place, printed: float, interval: tuple[float, float] | None) -> tuple[str, str]:
    record, metric = place.record, METRICS[place.cell.metric]
    if not record:
        return OPEN, ""
    if place.asked != place.ran:
        return NO_VERDICT, f"it is of {place.ran}"
    if found := doubts(record):
        return NO_VERDICT, "; ".join(found)
    unit = 10.0**-place.digits
    if metric.kind == "cost":
        return _rule(abs(record.value - printed) < unit, "within one unit of the last printed digit")
    gpu = str(record.provenance.get("machine", {}).get("gpu"))
    if metric.kind in ("timing", "training") and PAPERS_GPU not in gpu:
        return NO_VERDICT, f"it was timed on {gpu if gpu != 'None' else 'a CPU'}, the paper's on a {PAPERS_GPU}"
    if interval is None:
        return NO_VERDICT, "how far it varies is not known"
    low, high = interval[0] - unit / 2, interval[1] + unit / 2
    return _rule(low <= printed <= high, "by the interval of what was measured")


def _rule(agrees: bool, why: str) -> tuple[str, str]:
    return (AGREES if agrees else DIFFERS), why


def _interval(record: Record) -> tuple[float, float] | None:
    kind = METRICS[record.cell["metric"]].kind
    if kind == "content":
        return _interval_of_mean(record)
    low, high = accuracy_interval(record) if kind == "accuracy" else quartiles(record)
    return None if low is None or high is None else (low, high)


def _interval_of_mean(record: Record) -> tuple[float, float] | None:
    """The 95 % interval of a mean over the views of videos, as if those of one video were all the same: it is no
    narrower than the true one."""
    std, videos = record.samples.get("std"), record.counts.get("evaluated", 0)
    if not isinstance(std, int | float) or videos < 2:
        return None
    margin = 1.96 * std / math.sqrt(videos)
    return record.value - margin, record.value + margin


def on_page(tables: Iterable[Table], profile: Profile, best: Mapping[CellKey, Record]) -> list[Judged]:
    """The verdicts of each table that has some, as the page shows them."""
    found = []
    for table in tables:
        if verdicts := judged(table, profile, best):
            rows = [(one.verdict, texts) for one, texts in zip(verdicts, lines_of(verdicts), strict=True)]
            found.append(Judged(table.title, _counts(verdicts), rows))
    return found


def _counts(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many there are of each kind, in the order of VERDICTS."""
    counts = Counter(one.verdict for one in verdicts)
    return {word: counts[word] for word in VERDICTS}


def lines_of(verdicts: Iterable[Verdict]) -> list[list[str]]:
    """The table to print, as HEADERS has it."""
    rows = []
    for one in verdicts:
        digits = decimals(one.metric)
        measured = "" if one.measured is None else f"{one.measured:.{digits}f}"
        change = "" if one.measured is None else f"{round(one.measured - one.printed, digits) + 0.0:+.{digits}f}"
        ends = f"{one.interval[0]:.{digits}f} to {one.interval[1]:.{digits}f}" if one.interval else ""
        verdict = f"{one.verdict}: {one.why}" if one.why else one.verdict
        rows.append([one.row, one.column, f"{one.printed:.{one.digits}f}", measured, change, ends, verdict])
    return rows


def summary(verdicts: Sequence[Verdict]) -> str:
    """How many printed numbers there are of each verdict, in one line."""
    said = ", ".join(f"{verdict} {count}" for verdict, count in _counts(verdicts).items() if count)
    return f"of {len(verdicts)} printed numbers: {said or 'none'}"
