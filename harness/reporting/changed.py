"""Which videos change sides between the accuracies of a table: pair by pair, by name, and by class."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path

from harness.profiles import Profile
from harness.reporting.drops import starts_of
from harness.reporting.table_places import Place, places_of
from harness.tables import Table
from jobs.data.labels import class_names
from results.answers import Answers, answers_of, places
from results.metrics import METRICS
from results.paired import paired
from results.records import CellKey, Record, setting
from results.render.grid import printable
from results.render.page.content import Agreement, Changed, ChangedVideo, ClassChange

MOST = 20
"""Pairs, videos and classes that are named, each beginning with what changes most."""
MANY = 400
"""Accuracies of a table above which not all pairs are looked at, of which there are as many as their square, but only
those of the changes."""

Key = tuple[str, str]


def changed(table: Table, profile: Profile, best: Mapping[CellKey, Record], runs: Path) -> list[Changed]:
    """What changes sides in a table, for each list of videos; none where it has no two accuracies over the same ones.
    Means over trainings are of no videos of their own."""
    cells = [(entry.row, entry.column) for entry in table.entries]
    found = dict(zip(cells, places_of(table, profile, best), strict=True))
    by_list: dict[str, dict[Key, Answers]] = defaultdict(dict)
    for key, place in found.items():
        if place.record and METRICS[place.wanted.metric].kind == "accuracy":
            try:
                one = answers_of(place.record)
            except ValueError:
                continue  # the table of changes says so
            if one:
                by_list[one.videos][key] = one
    several = len(by_list) > 1
    sides = [_of_list(table, answers, found, runs, several) for answers in by_list.values()]
    return [one for one in sides if one]


def _of_list(
    table: Table, answers: Mapping[Key, Answers], found: Mapping[Key, Place], runs: Path, several: bool
) -> Changed | None:
    """What changes sides among accuracies over one list of videos."""
    pairs = [(key, start) for key, start in starts_of(table, found).items() if key in answers and start in answers]
    pairs = [(key, start) for key, start in pairs if paired(answers[start], answers[key])]
    few = len(answers) <= MANY
    agreements = list(_agreements(answers, combinations(answers, 2) if few else [(one, other) for other, one in pairs]))
    if not agreements:
        return None
    agreements.sort(key=lambda one: -one.changed)
    videos, classes = [], []
    names = next((_names(found[start].record, answers[start], runs) for _, start in pairs), [])
    if names:
        videos, classes = _videos(answers, pairs, names), _classes(answers, pairs, names)
    dataset = found[next(iter(answers))].cell.dataset
    return Changed(
        table=f"{table.title}: {dataset}" if several else table.title,
        agreements=agreements[:MOST],
        more_agreements=max(len(agreements) - MOST, 0),
        all_pairs=few,
        changes=len(pairs),
        videos=videos[:MOST],
        more_videos=max(len(videos) - MOST, 0),
        classes=classes[:MOST],
        dataset=dataset,
    )


def _agreements(answers: Mapping[Key, Answers], pairs: Iterable[tuple[Key, Key]]) -> Iterator[Agreement]:
    """Of each two places in one row or column, how many answers differ."""
    for one, other in pairs:
        pair = paired(answers[one], answers[other]) if one[0] == other[0] or one[1] == other[1] else None
        if pair and answers[one] is not answers[other]:
            yield Agreement(", ".join(one), ", ".join(other), pair.videos, pair.lost, pair.won)


def _videos(
    answers: Mapping[Key, Answers], pairs: list[tuple[Key, Key]], names: list[tuple[str, str]]
) -> list[ChangedVideo]:
    """The videos that some change loses, those first that the most do."""
    lost: Counter[int] = Counter()
    won: Counter[int] = Counter()
    for key, start in pairs:
        before, after = answers[start], answers[key]
        both = before.seen & after.seen
        lost.update(places(both & before.right & ~after.right))
        won.update(places(both & after.right & ~before.right))
    order = sorted(lost, key=lambda index: (won[index] - lost[index], index))
    return [ChangedVideo(*names[index], lost[index], won[index]) for index in order]


def _classes(
    answers: Mapping[Key, Answers], pairs: list[tuple[Key, Key]], names: list[tuple[str, str]]
) -> list[ClassChange]:
    """The classes whose accuracy a change moves most, in points."""
    members: dict[str, int] = defaultdict(int)
    for index, (_, label) in enumerate(names):
        members[label] |= 1 << index
    found = []
    for key, start in pairs:
        both = answers[start].seen & answers[key].seen
        differ = both & (answers[start].right ^ answers[key].right)
        for label in dict.fromkeys(names[index][1] for index in places(differ)):
            mask = both & members[label]
            count = mask.bit_count()
            shares = [100 * (mask & answers[one].right).bit_count() / count for one in (start, key)]
            found.append(ClassChange(label, ", ".join(key), count, *shares))
    return sorted((one for one in found if one.before != one.after), key=lambda one: -abs(one.after - one.before))


def _names(record: Record | None, answers: Answers, runs: Path) -> list[tuple[str, str]]:
    """The path and class of each video, as the job wrote them beside its scores; none where that file is not there or
    is of other videos."""
    relative = record.samples.get("per_video") if record else None
    if not record or not isinstance(relative, str):
        return []
    path = (runs / relative).resolve()
    if not path.is_relative_to(runs.resolve()):
        return []  # a record may come from elsewhere, and must not name any file of this machine
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = [(printable(row["video"]), row["label"]) for row in csv.DictReader(file)]
    except (OSError, KeyError, csv.Error):
        return []
    classes = _class_names(record)
    named = [
        (video, classes[int(label)] if label.isdigit() and int(label) < len(classes) else label)
        for video, label in rows
    ]
    return named if len(named) == answers.count else []


def _class_names(record: Record) -> tuple[str, ...]:
    labels, classes = (setting(record, f"dataset.{name}") or "" for name in ("labels", "classes"))
    try:
        return class_names(str(labels), str(classes)) if labels else ()
    except ValueError:
        return ()
