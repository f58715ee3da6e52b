"""The places of a table, each with what the paper asks for, what this profile measures for it, and what is known."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.planning.plan import measured_cell
from harness.profiles import Profile
from harness.tables import Table
from jobs.spec.cells import Cell, canonical
from results.published import load_published
from results.records import CellKey, Record
from results.seeds import Seed, one_of, runs_of


@dataclass(frozen=True)
class Place:
    """A place in a table, for a plot."""

    wanted: Cell
    """In the paper's terms, its reduction spelled canonically."""
    cell: Cell
    """What this profile measures for it."""
    record: Record | None
    """What stands for it; the mean over `runs` where there are several."""
    printed: float | None
    inferred: str = ""
    """What of its settings the paper leaves out."""
    rounded: str = ""
    """What of them the stand-in takes only nearly."""
    runs: Mapping[Seed, Record] = field(default_factory=dict)
    """The records of its runs."""
    seeds: Sequence[Seed] = (None,)
    """Of all runs that are asked for."""
    digits: int = 0
    """Decimals with which `printed` is printed."""

    @property
    def method(self) -> str:
        """The name of the reduction, with where it drops but without how much: what a line may join."""
        name, _, settings = self.wanted.reduction.partition(":")
        where = [one for one in settings.split(",") if one.startswith("at=")]
        return " ".join([name, *where])

    @property
    def ran(self) -> str:
        """What is measured, in words: the model and its data, and those that they stand in for."""
        text = _on(self.cell)
        return text if text == self.asked else f"{text} for {self.asked}"

    @property
    def asked(self) -> str:
        """What the paper has, in words: the model and its data."""
        return _on(self.wanted)

    @property
    def label(self) -> str:
        """What is measured, whole; where a stand-in runs another r, both."""
        wanted, ran = self.wanted.reduction, self.cell.reduction
        return ", ".join(filter(None, [self.ran, wanted + f" (run as {ran})" * (ran != wanted), self.cell.views]))

    @property
    def tag(self) -> str:
        """The settings of the table's reduction, as `r=48`."""
        return self.wanted.reduction.partition(":")[2] or self.wanted.reduction

    @property
    def paper(self) -> str:
        """What the paper has, whole."""
        return "paper: " + ", ".join(filter(None, [self.asked, self.wanted.reduction, self.wanted.views]))


def places_of(table: Table, profile: Profile, best: Mapping[CellKey, Record]) -> list[Place]:
    """The places of a table in order; `best` is `best_by_cell`'s. ValueError where a cell is not valid."""
    published = load_published(table.name)
    places = []
    for entry in table.entries:
        wanted = replace(entry.cell, reduction=canonical(entry.cell.reduction, entry.cell.model))
        cell, rounded = measured_cell(entry.cell, profile, table.name)
        found = published.get((entry.row, entry.column))
        printed, digits = (found.value, found.digits) if found else (None, 0)
        seeds = table.seeds_of(entry.cell)
        runs = runs_of(cell, seeds, best)
        record = one_of(runs, seeds) if runs else None
        places.append(Place(wanted, cell, record, printed, entry.inferred, rounded, runs, seeds, digits))
    return places


def doubts(record: Record, of: str = "") -> tuple[str, ...]:
    """What makes a value doubtful: that it is not done, and its flags; `of` says of what it is the value."""
    counts = record.counts
    said = [] if record.status == "done" else [record.status]
    if record.status == "partial" and counts:
        said = [f"{counts['evaluated']} of {counts['listed']} videos"]
    return tuple(f"{of}: {one}" if of else one for one in (*said, *map(str, record.flags)))


def stand_ins(places: list[Place]) -> list[str]:
    """A line for each model that was measured in place of another."""
    pairs = dict.fromkeys((_on(one.cell), one.asked) for one in places if one.record and _on(one.cell) != one.asked)
    return [f"{ran} stands in for {asked}" for ran, asked in pairs]


def samples_of(record: Record) -> list[float]:
    """A timing's samples, in its unit; none where its record has others than numbers."""
    samples = record.samples.get(record.cell["metric"], record.samples.get("clips_per_s"))
    return samples if isinstance(samples, list) and all(isinstance(one, int | float) for one in samples) else []


def quartiles(record: Record) -> tuple[float, float] | tuple[None, None]:
    """First and third quartile of a timing's samples, in its unit; None where there are none around its value."""
    samples = samples_of(record)
    if len(samples) < 2:
        return None, None
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return (low, high) if low <= record.value <= high else (None, None)


def _on(cell: Cell) -> str:
    return f"{cell.model} on {cell.dataset}" if cell.dataset else cell.model
