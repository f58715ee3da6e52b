"""From tables to jobs: put stand-ins in place, drop what has a record, fuse what shares work."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from harness.planning.planner import Planner
from harness.planning.text import plural
from harness.profiles import Profile
from harness.tables import Table
from jobs.spec import cells
from jobs.spec.cells import Cell, job_kind
from jobs.spec.jobs import END_TO_END, Job, Train
from results.metrics import METRICS
from results.progress import JobProgress
from results.seeds import Seed

Run = tuple[Cell, Seed]
"""A cell and the seed of its training where that is another than the profile's."""


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A place in a table, the cell that will really be measured for it, and its record; of a training that is done with
    several seeds one for each."""

    table: str
    row: str
    column: str
    cell: Cell
    note: str
    """What differs from the paper's cell and is not just the stand-in, as a rounded r."""
    record: str = ""
    """Id of the record that holds, or will hold, the value; empty if this profile cannot measure it."""


@dataclass
class Plan:
    """What a sweep has to do. `jobs` are the ones still needed; `tables[job.id]` says for which tables."""

    cells: list[PlannedCell] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    tables: dict[str, list[str]] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    """How many tasks share each job."""
    done: int = 0
    """Cells that have their record already."""

    @property
    def text(self) -> str:
        """How many cells there are."""
        places = {(cell.table, cell.row, cell.column) for cell in self.cells}
        more = ", each run of a training counted" if len(places) < len(self.cells) else ""
        return f"{plural(len(self.cells), 'cell')}{more}"

    @property
    def left_out(self) -> int:
        """Cells that this profile cannot measure: the accuracy of a training that ends after some steps."""
        return sum(not cell.record for cell in self.cells)


def measured_cell(cell: Cell, profile: Profile, table: str) -> tuple[Cell, str]:
    """The cell that this profile measures for one of a table, spelled canonically, and a note on what was rounded.

    ValueError where a name or a setting is not valid.
    """
    model, reduction, rounded = cell.model, cells.canonical(cell.reduction, cell.model), ""
    # What a model costs is counted on the model itself, unless it hangs on what clips of a dataset show.
    itself = METRICS[cell.metric].kind == "cost" and not cell.dataset
    if not itself and cell.model in profile.stand_in.models:
        model = profile.stand_in.models[cell.model]
        reduction, rounded = cells.stand_in(cell.reduction, cell.model, model)
    instead = profile.stand_in.datasets
    dataset = instead.get(f"{table}/{cell.dataset}") or instead.get(cell.dataset, cell.dataset)
    if cell.views:
        cells.parse_views(cell.views)
    other = METRICS[cell.metric].kind == "cost" and model != cell.model
    counted = f"counted of {model} on {dataset}" if other else ""
    note = "; ".join(filter(None, [cells.became(cell.reduction, cell.model), rounded, counted]))
    return Cell(model, reduction, dataset, cell.views, cell.metric), note


def make_plan(
    tables: list[Table],
    planner: Planner,
    records: Collection[str],
    unfinished: Iterable[JobProgress] = (),
    under_way: Collection[str] = (),
    fuse: bool = True,
) -> Plan:
    """Plan `tables`. `records` are the ids that are there; `unfinished` are jobs of earlier runs, gone on with as they
    were rather than fused again, so that their finished blocks count; `under_way` are the ids of those that run or
    will. Without `fuse` every cell is a job of its own, but for those of one training, which is never done twice."""
    plan = Plan()
    unfinished = list(unfinished)
    ids: dict[Run, str] = {}
    needed: dict[Run, dict[str, None]] = {}
    for table in tables:
        for entry, seed in ((one, seed) for one in table.entries for seed in table.seeds_of(one.cell)):
            place = f"{table.name}, row {entry.row!r}, column {entry.column!r}"
            try:
                cell, note = measured_cell(entry.cell, planner.profile, table.name)
                run = cell, None if seed == planner.profile.train.seed else seed
                if run not in ids:
                    job = planner.job([cell], seed)
                    ids[run] = "" if _unfinishable(job, cell) else job.record_id(cell)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
            plan.cells.append(PlannedCell(table.name, entry.row, entry.column, cell, note, ids[run]))
            if ids[run] in records:
                plan.done += 1
            elif ids[run]:
                needed.setdefault(run, {})[table.name] = None
    groups: list[list[Run]] = []
    rest = dict.fromkeys(needed)
    if fuse:
        for one in sorted(unfinished, key=lambda one: (one.id not in under_way, -one.done)):
            if runs := _resumed(one, planner, rest, records, one.id in under_way):
                groups.append(runs)
                for run in runs:
                    rest.pop(run, None)
    earlier = {one.id: one for one in unfinished}
    for runs in groups + grouped(rest, fuse):
        cells, seed = [cell for cell, _ in runs], runs[0][1]
        job = planner.job(cells, seed)
        names = [name for run in runs for name in needed.get(run, ())]
        if isinstance(job, Train) and (before := earlier.get(job.id)):
            job = planner.job([*cells, *_asked_before(before, job, records)], seed)
            names += before.job.get("tables", [])
        plan.jobs.append(job)
        plan.tasks[job.id] = planner.tasks(job)
        plan.tables[job.id] = list(dict.fromkeys(names))
    plan.jobs.sort(key=lambda job: (job.kind == "train", job.exclusive, job.kind != "count"))
    return plan


def _unfinishable(job: Job, cell: Cell) -> bool:
    """Whether the job will not come to what the cell asks for."""
    return isinstance(job, Train) and job.measure_steps > 0 and cell.metric == "top1_trained"


def _asked_before(progress: JobProgress, job: Train, records: Collection[str]) -> list[Cell]:
    """What else an earlier plan asked of the same training, and has not been answered: its file is written anew, and
    must not lose it."""
    try:
        cells = [Cell(**cell) for cell in progress.job["cells"]]
        asked = dict(zip(cells, progress.job["record_ids"], strict=True))
    except (KeyError, TypeError, ValueError):
        return []
    return [
        cell
        for cell, record in asked.items()
        if cell not in job.cells and record not in records and record == job.record_id(cell)
    ]


def _resumed(
    progress: JobProgress, planner: Planner, needed: Collection[Run], records: Collection[str], under_way: bool
) -> list[Run]:
    """The cells of an earlier job that this plan goes on with, or none.

    Trainings are not among them: their id alone says that they are the same. It must answer a needed cell under the
    settings of now. Unless it is under way anyway, it must have begun, and have nothing else left to answer.
    """
    try:
        runs: list[Run] = [(Cell(**cell), None) for cell in progress.job["cells"]]
        if not any(run in needed and METRICS[run[0].metric].job != "train" for run in runs):
            return []
        ids = [planner.job([cell]).record_id(cell) for cell, _ in runs]
    except (KeyError, TypeError, ValueError):
        return []
    left = [run for run, record in zip(runs, ids, strict=True) if record not in records]
    wanted = [run for run in left if run in needed]
    if ids != progress.job.get("record_ids") or not wanted:
        return []
    begun = progress.done > 0 or len(left) < len(runs)
    return runs if under_way or (begun and wanted == left) else []


def grouped(runs: Iterable[Run], fuse: bool = True) -> list[list[Run]]:
    """The runs that share a job: those of one training, of one pass over a dataset, of figures of the same videos,
    of the timings of a model and a reduction, all GFLOPs."""
    shared: dict[tuple[str, ...], list[Run]] = {}
    for number, (cell, seed) in enumerate(runs):
        kind = job_kind(cell)
        if kind == "train":
            key: tuple[str, ...] = (kind, cell.model, cell.reduction, cell.dataset, str(seed))
        elif not fuse:
            key = (kind, str(number))
        elif kind in ("evaluate", "visualize"):
            key = (kind, cell.model, cell.dataset)
        elif kind == "measure":
            key = (kind, cell.model, cell.reduction, cell.dataset, cell.views, str(cell.metric == END_TO_END))
        else:
            key = (kind,)
        shared.setdefault(key, []).append((cell, seed))
    return list(shared.values())
