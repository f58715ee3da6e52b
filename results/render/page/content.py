"""What the page is made of: plain data, gathered by the code that knows the runs folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from results.records import Record
from results.render.table_view import TableView

if TYPE_CHECKING:
    from results.render.plot import Plot

Place = tuple[str, str, str]
"""A cell of a table: the table's name, row and column."""


@dataclass(frozen=True)
class Log:
    """A log file of a job, and how it ends."""

    path: str
    """Relative to the runs folder."""
    task: int
    """The first task that it is of."""
    text: str
    """Its last lines; empty where the page had no room for them."""


@dataclass(frozen=True)
class Job:
    """A job that measured, measures or should have measured cells that the page shows."""

    id: str
    kind: str
    state: str
    text: str = ""
    """What it says of itself, what it waits for, or why it ended."""
    nodes: Sequence[str] = ()
    """Where it runs."""
    restarts: int = 0
    logs: Sequence[Log] = ()
    more_logs: int = 0
    """Log files that it has beside these."""


@dataclass(frozen=True)
class Figure:
    """A picture of the tokens that a reduction leaves of one video."""

    record: str
    video: str
    folder: str
    """Relative to the runs folder; the files are there."""
    files: Sequence[str]
    stages: Sequence[tuple[int, int]]
    """Block and number of tokens kept after it, in order."""
    said: str = ""
    """The class that the model predicted."""
    content: Mapping[str, Any] | None = None
    """The folder's page.json; None if it is not embedded."""
    missing: str = ""
    """Why it is not embedded."""
    dataset: str = ""
    """Whose model it is of."""
    given: bool = False
    """Whether its video was given by its path, rather than taken from the data set's list."""

    @property
    def maps(self) -> list[str]:
        """The names of the maps that some stage of its content has."""
        stages = self.content["stages"] if self.content else []
        return list(dict.fromkeys(name for stage in stages for name in stage.get("maps", {})))


@dataclass(frozen=True)
class Agreement:
    """Two accuracies over the same videos."""

    one: str
    other: str
    videos: int
    lost: int
    """Right by the first alone."""
    won: int
    """Right by the second alone."""

    @property
    def changed(self) -> int:
        return self.lost + self.won


@dataclass(frozen=True)
class ChangedVideo:
    """A video that changes of a table lose."""

    video: str
    label: str
    lost: int
    """Changes by which it is no longer right."""
    won: int


@dataclass(frozen=True)
class ClassChange:
    """What a change does to the accuracy of one class, in percent."""

    label: str
    place: str
    videos: int
    before: float
    after: float


@dataclass(frozen=True)
class Changed:
    """What changes sides in a table."""

    table: str
    agreements: Sequence[Agreement]
    more_agreements: int
    all_pairs: bool
    """Whether they are of all pairs in a row or column, or of the changes alone."""
    changes: int
    """From r = 0, or from the table's baseline."""
    videos: Sequence[ChangedVideo]
    more_videos: int
    classes: Sequence[ClassChange]
    dataset: str = ""
    """Whose videos they are."""


@dataclass(frozen=True)
class Judged:
    """Whether what was measured agrees with the numbers that a paper prints of one table."""

    table: str
    """Its title."""
    counts: Mapping[str, int]
    """Printed numbers by verdict."""
    rows: Sequence[tuple[str, Sequence[str]]]
    """Of each its verdict, and what there is to say: row, column, printed, measured, difference, interval, and the
    verdict with its reason."""


@dataclass(frozen=True)
class Page:
    """The report. Derived tables follow the table that they are of."""

    runs: str
    """The runs folder, as it is named to the user."""
    profile: str
    views: Sequence[TableView]
    records: Sequence[Record]
    """Those behind the values, points and figures shown."""
    total: int = 0
    """How many records the runs folder holds."""
    jobs: Mapping[str, Job] = field(default_factory=dict)
    attempts: Mapping[Place, str] = field(default_factory=dict)
    """The id of the job that says most about a cell without a record, or that is newer than its record."""
    plots: Sequence[Plot] = ()
    figures: Sequence[Figure] = ()
    changed: Sequence[Changed] = ()
    """By table, where two accuracies are over the same videos."""
    judged: Sequence[Judged] = ()
    """By table, where some of its numbers are printed."""
    warnings: Sequence[str] = ()
    """What of the runs folder could not be read."""
    made: str = ""
    """When, in ISO 8601; empty for a live page, which changes with what it shows only."""
    live: bool = False
    """Whether the page is served and follows the runs folder."""

    @property
    def verdicts(self) -> dict[str, int]:
        """All printed numbers by verdict."""
        words = dict.fromkeys(word for one in self.judged for word in one.counts)
        return {word: sum(one.counts.get(word, 0) for one in self.judged) for word in words}

    def figures_of(self, video: str, dataset: str) -> list[tuple[int, Figure]]:
        """The figures of a video of a data set's list, each with its place among all; that of a video that was given by
        its path has the whole path."""
        return [
            (number, one)
            for number, one in enumerate(self.figures)
            if one.dataset == dataset and (one.video == video or (one.given and one.video.endswith(f"/{video}")))
        ]
