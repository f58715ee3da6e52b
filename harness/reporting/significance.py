"""Which changes of accuracy are real: intervals over the same videos, or over the runs of trainings, and a correction
for testing several."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from results.answers import answers_of
from results.metrics import METRICS
from results.paired import LEVEL, POWER, Paired, by_chance, holm, interval, paired, videos_needed
from results.records import Record
from results.render.table_view import Entry
from results.seeds import Mean, change_of_means, values_of

Key = tuple[str, str]
NAMED = 3
"""Changes without an interval that are named; more are counted."""
ONE_TRAINING = "accuracies after training: the intervals are of these trainings; with other seeds others come out"


@dataclass(frozen=True)
class Change:
    """From one accuracy to another."""

    interval: tuple[float, float]
    """That of 95 %, in points."""
    chance: float
    """How probable such a change is where there is none."""
    pair: Paired | None
    """The videos that it is over; None where it is over runs."""


def change_between(before: Record, after: Record) -> Change:
    """Over the same videos, or from one mean over runs to another. ValueError saying why there is no telling."""
    one, other = values_of(before), values_of(after)
    if one or other:
        if unlike := next((mean.unlike for mean in (before, after) if isinstance(mean, Mean) and mean.unlike), ""):
            raise ValueError(f"its runs differ in {unlike}")
        return Change(*change_of_means(one, other), None)
    pair = paired_records(before, after)
    return Change(interval(pair), by_chance(pair), pair)


def judge(
    entries: Mapping[Key, Entry], records: Mapping[Key, tuple[Record | None, Record | None]], drop: float = 0
) -> tuple[dict[Key, Entry], list[str]]:
    """The changes with their intervals, those marked that chance could have made, and notes on how; `records` are those
    before and after each. With a `drop`, in points, also how many videos would tell it."""
    found: dict[Key, Change] = {}
    without: dict[str, list[str]] = {}
    for key, (before, after) in records.items():
        if entries[key].value is None or not before or not after:
            continue
        try:
            found[key] = change_between(before, after)
        except ValueError as error:
            without.setdefault(str(error), []).append(", ".join(key))
    corrected = dict(zip(found, holm([one.chance for one in found.values()]), strict=True))
    judged = {
        key: replace(entries[key], interval=one.interval, chance=corrected[key] > LEVEL) for key, one in found.items()
    }
    pairs = {key: one.pair for key, one in found.items() if one.pair}
    notes = _notes(found, pairs, judged)
    for why, where in without.items():
        named = "; ".join(where) if len(where) <= NAMED else f"{len(where)} changes"
        notes.append(f"no interval for {named}: {why}")
    if drop and len(pairs) < len(found):
        notes.append("no number of videos tells a drop between means over trainings; more seeds do")
    return judged, notes + (_needed(pairs, drop) if drop else [])


def paired_records(before: Record, after: Record) -> Paired:
    """Two accuracies over the same videos. ValueError saying why they cannot be compared so."""
    one, other = answers_of(before), answers_of(after)
    if not one or not other:
        raise ValueError("a record does not keep which videos were right")
    pair = paired(one, other)
    if not pair:
        raise ValueError("its accuracies are over other videos")
    return pair


def _needed(found: Mapping[Key, Paired], drop: float) -> list[str]:
    """A line a row: how many videos tell a drop of so many points."""
    rows: dict[str, list[str]] = {}
    for (row, column), pair in found.items():
        videos = videos_needed(pair, drop)
        share = 100 * pair.changed / pair.videos
        many = f"{videos:,.0f} videos" if math.isfinite(videos) else "no number of videos would do, as too few change"
        rows.setdefault(row, []).append(f"{column} {many} ({share:.2g} % of the answers change)")
    told = f"to tell a drop of {drop:g} points in {100 * POWER:.0f} of 100 cases"
    return [f"{told}, {row}: {'; '.join(columns)}" for row, columns in rows.items()]


def _notes(found: Mapping[Key, Change], pairs: Mapping[Key, Paired], judged: Mapping[Key, Entry]) -> list[str]:
    notes, tests = [], []
    if counts := sorted({pair.videos for pair in pairs.values()}):
        videos = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        notes.append(f"in brackets: 95 % intervals, paired over the same {videos} videos (Tango's score interval)")
        tests.append("McNemar's exact test")
    if len(pairs) < len(found):
        of_means = "of the change of a mean over trainings" if pairs else "over trainings with several seeds"
        notes.append(f"in brackets: 95 % intervals {of_means} (Welch's)")
        tests.append("Welch's test")
    if any(METRICS[judged[key].metric].job == "train" for key in pairs):
        notes.append(ONE_TRAINING)
    if any(entry.chance for entry in judged.values()):
        several = f", corrected for the {len(found)} changes of this table (Holm)" if len(found) > 1 else ""
        notes.append(f"n.s.: not distinguishable from no change at 5 %, by {' or '.join(tests)}{several}")
    return notes
