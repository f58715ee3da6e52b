"""From tables to jobs: put stand-ins in place, drop what has a record, fuse what shares work."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from harness.machine import lanes
from harness.profiles import Dataset, Profile, resolve
from harness.tables import Table
from jobs import spec
from jobs.spec import Cell, Checkpoint, Count, Evaluate, Job, Measure
from results.progress import JobProgress


@dataclass(frozen=True)
class PlannedCell:
    """A place in a table, the cell that will really be measured for it, and its record."""

    table: str
    row: str
    column: str
    cell: Cell
    note: str
    """What differs from the paper's cell and is not just the stand-in, as a rounded r."""
    record: str = ""
    """Id of the record that holds, or will hold, the value."""


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

    def recorded(self, records: Collection[str]) -> bool:
        """Whether every cell has its record among `records`, which are ids."""
        return all(cell.record in records for cell in self.cells)


def measured_cell(cell: Cell, profile: Profile) -> tuple[Cell, str]:
    """The cell that this profile measures for a table's cell, spelled canonically, and a note on what was rounded.

    ValueError where a name or a setting is not valid.
    """
    model, reduction, note = cell.model, spec.canonical(cell.reduction, cell.model), ""
    if cell.metric != "gflops" and cell.model in profile.stand_in.models:
        model = profile.stand_in.models[cell.model]
        reduction, note = spec.stand_in(cell.reduction, cell.model, model)
    dataset = profile.stand_in.datasets.get(cell.dataset, cell.dataset)
    if cell.views:
        spec.parse_views(cell.views)
    return Cell(model, reduction, dataset, cell.views, cell.metric), note


class Planner:
    """Makes jobs of cells with the settings of one profile, as its files are now."""

    def __init__(self, profile: Profile, runs: Path, limit: int = 0) -> None:
        self.profile = profile
        self.runs = runs
        self.limit = limit
        self.dataset = cache(self._dataset)
        self.checkpoint = cache(self._checkpoint)
        self.videos: dict[str, int] = {}
        """Videos listed, by dataset."""

    def job(self, cells: Iterable[Cell]) -> Job:
        """One job that answers `cells`, which must share their group."""
        ordered = tuple(sorted(cells, key=lambda cell: (cell.reduction, len(cell.views), cell.views, cell.metric)))
        first, evaluate, measure = ordered[0], self.profile.evaluate, self.profile.measure
        threads = max(1, self.profile.launch.cpus_per_task - evaluate.decoders)
        if first.metric == "gflops":
            return Count(ordered, measure.counter)
        if first.metric in ("top1", "top5"):
            dataset = self.dataset(first.dataset)
            return Evaluate(
                cells=ordered,
                model=first.model,
                checkpoint=self.checkpoint(first.model, first.dataset),
                dataset=dataset,
                precision=evaluate.precision,
                # The first 64 of 64 are all: the same videos must not have two identities.
                limit=0 if 0 < self.videos[first.dataset] <= self.limit else self.limit,
                batch_size=evaluate.batch_size,
                block=evaluate.block,
                decoders=evaluate.decoders,
                decode_timeout_s=evaluate.decode_timeout_s,
                tolerance=evaluate.tolerance,
                threads=threads,
            )
        return Measure(
            cells=ordered,
            precision=measure.precision,
            batch_size=measure.batch_size,
            samples=measure.samples,
            threads=threads,
            gpus=self.profile.launch.gpus_per_task,
            dataset=self.dataset(first.dataset) if first.metric == "clips_per_s_e2e" else None,
            block=evaluate.block,
            decoders=evaluate.decoders,
            decode_timeout_s=evaluate.decode_timeout_s,
            tolerance=evaluate.tolerance,
        )

    def tasks(self, job: Job) -> int:
        """How many tasks share `job`: never more than it has blocks, where its videos are listed already."""
        if not isinstance(job, Evaluate):
            return 1
        tasks = self.profile.launch.tasks or lanes(self.profile.launch)
        videos = self.videos[job.dataset.name]
        blocks = len(spec.split(min(videos, self.limit or videos), job.block))
        return min(tasks, blocks) if videos else tasks

    def _dataset(self, name: str) -> spec.Dataset:
        if name not in self.profile.datasets:
            valid = ", ".join(self.profile.datasets) or "none"
            raise ValueError(f"profile {self.profile.name} has no dataset {name!r}; its datasets: {valid}")
        declared: Dataset = self.profile.datasets[name]
        labels = resolve(declared.labels, self.profile, self.runs)
        content = b""
        try:
            content = labels.read_bytes()
        except OSError as error:
            if not declared.prepare:
                raise ValueError(f"cannot read the label file of {name}, {labels}: {error.strerror}") from None
        self.videos[name] = sum(1 for line in content.splitlines() if line.strip())
        root = resolve(declared.root, self.profile, self.runs)
        return spec.Dataset(
            name=name,
            labels=str(labels),
            labels_sha256=hashlib.sha256(content).hexdigest(),
            root=str(root),
            num_classes=declared.num_classes,
            sampling=declared.sampling,
            stride=declared.stride,
        )

    def _checkpoint(self, model: str, dataset: str) -> Checkpoint:
        key = f"{model}/{dataset}"
        if key not in self.profile.checkpoints:
            raise ValueError(
                f'profile {self.profile.name} has no checkpoints."{key}"; set it to the weights of {model}'
            )
        path = resolve(self.profile.checkpoints[key], self.profile, self.runs)
        try:
            return Checkpoint.of(path)
        except OSError as error:
            raise ValueError(f"cannot read the checkpoint of {key}, {path}: {error.strerror}") from None


def make_plan(
    tables: list[Table],
    planner: Planner,
    records: Collection[str],
    unfinished: Iterable[JobProgress] = (),
    under_way: Collection[str] = (),
    fuse: bool = True,
) -> Plan:
    """Plan `tables`. `records` are the ids that are there; `unfinished` are jobs of earlier runs, gone on with as they
    were rather than fused anew, so that their finished blocks count; `under_way` are the ids of those that run or will.
    Without `fuse` every cell is a job of its own."""
    plan = Plan()
    ids: dict[Cell, str] = {}
    needed: dict[Cell, dict[str, None]] = {}
    for table in tables:
        for entry in table.entries:
            place = f"{table.name}, row {entry.row!r}, column {entry.column!r}"
            try:
                cell, note = measured_cell(entry.cell, planner.profile)
                if cell not in ids:
                    ids[cell] = planner.job([cell]).record_id(cell)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
            plan.cells.append(PlannedCell(table.name, entry.row, entry.column, cell, note, ids[cell]))
            if ids[cell] in records:
                plan.done += 1
            else:
                needed.setdefault(cell, {})[table.name] = None
    groups: list[list[Cell]] = []
    rest = dict.fromkeys(needed)
    if fuse:
        for one in sorted(unfinished, key=lambda one: (one.id not in under_way, -one.done)):
            if cells := _resumed(one, planner, rest, records, one.id in under_way):
                groups.append(cells)
                for cell in cells:
                    rest.pop(cell, None)
    for cells in groups + _groups(rest, fuse):
        job = planner.job(cells)
        plan.jobs.append(job)
        plan.tasks[job.id] = planner.tasks(job)
        plan.tables[job.id] = list(dict.fromkeys(name for cell in cells for name in needed.get(cell, ())))
    plan.jobs.sort(key=lambda job: (job.exclusive, job.kind != "count"))
    return plan


def _resumed(
    progress: JobProgress, planner: Planner, needed: Collection[Cell], records: Collection[str], under_way: bool
) -> list[Cell]:
    """The cells of an earlier job that this plan goes on with, or none.

    It must answer a needed cell under the settings of now. Unless it is under way anyway, it must have begun, and have
    nothing else left to answer.
    """
    try:
        cells = [Cell(**cell) for cell in progress.job["cells"]]
        if not any(cell in needed for cell in cells):
            return []
        ids = [planner.job([cell]).record_id(cell) for cell in cells]
    except (KeyError, TypeError, ValueError):
        return []
    left = [cell for cell, record in zip(cells, ids, strict=True) if record not in records]
    wanted = [cell for cell in left if cell in needed]
    if ids != progress.job.get("record_ids") or not wanted:
        return []
    begun = progress.done > 0 or len(left) < len(cells)
    return cells if under_way or (begun and wanted == left) else []


def _groups(cells: Iterable[Cell], fuse: bool) -> list[list[Cell]]:
    """The cells that share a job: those of one pass over a dataset, all GFLOPs, and each timing alone."""
    shared: dict[tuple[str, ...], list[Cell]] = {}
    for number, cell in enumerate(cells):
        if not fuse:
            key: tuple[str, ...] = (str(number),)
        elif cell.metric in ("top1", "top5"):
            key = ("evaluate", cell.model, cell.dataset)
        elif cell.metric == "gflops":
            key = ("count",)
        else:
            key = ("measure", str(number))
        shared.setdefault(key, []).append(cell)
    return list(shared.values())
