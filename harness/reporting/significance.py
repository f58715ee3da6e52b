"""Which changes of accuracy are real: intervals over the same videos, and a correction for testing several."""

from collections.abc import Mapping
from dataclasses import replace

from results.answers import answers_of
from results.paired import LEVEL, Paired, by_chance, holm, interval, paired
from results.records import Record
from results.render.table_view import Entry

Key = tuple[str, str]
NAMED = 3
"""Changes without an interval that are named; more are counted."""


def judge(
    entries: Mapping[Key, Entry], pairs: Mapping[Key, tuple[Record | None, Record | None]]
) -> tuple[dict[Key, Entry], list[str]]:
    """The changes with their intervals, those marked that chance could have made, and notes on how; `pairs` are the
    records before and after each."""
    found: dict[Key, Paired] = {}
    without: dict[str, list[str]] = {}
    for key, (before, after) in pairs.items():
        if entries[key].value is None or not before or not after:
            continue
        try:
            one, other = answers_of(before), answers_of(after)
            pair = paired(one, other) if one and other else None
            why = "its accuracies are over other videos" if one and other else "a record does not keep which were right"
        except ValueError as error:
            pair, why = None, str(error)
        if pair:
            found[key] = pair
        else:
            without.setdefault(why, []).append(", ".join(key))
    corrected = dict(zip(found, holm([by_chance(pair) for pair in found.values()]), strict=True))
    judged = {
        key: replace(entries[key], interval=interval(pair), chance=corrected[key] > LEVEL)
        for key, pair in found.items()
    }
    notes = _notes(found, judged)
    for why, where in without.items():
        named = "; ".join(where) if len(where) <= NAMED else f"{len(where)} changes"
        notes.append(f"no interval for {named}: {why}")
    return judged, notes


def _notes(found: Mapping[Key, Paired], judged: Mapping[Key, Entry]) -> list[str]:
    if not found:
        return []
    counts = sorted({pair.videos for pair in found.values()})
    videos = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    notes = [f"in brackets: 95 % intervals, paired over the same {videos} videos (Tango's score interval)"]
    if any(entry.chance for entry in judged.values()):
        several = f", corrected for the {len(found)} changes of this table (Holm)" if len(found) > 1 else ""
        notes.append(f"n.s.: not distinguishable from no change at 5 %, by McNemar's exact test{several}")
    return notes
