"""What jobs say of the cells of a table: which attempt is at each, and how it stands."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from harness.planning.present import Present
from harness.planning.text import command
from harness.profiles import Launch
from harness.reporting.departures import meant
from harness.running.queue import look_up, state_of
from harness.running.retries import ENDED_BADLY, interrupted, why, wordless
from jobs.spec.cells import Cell
from results.progress import JobProgress
from results.records import CELL_FIELDS, CellKey, Record, as_dict
from results.seeds import Seed, run_key, seed_of

FIELDS = set(CELL_FIELDS)
STOPPED = "stopped by Ctrl-C; run the same command to resume"
ORDER = ("pending", "done", "lost", "stopped", "failed", "cancelled", "queued", "running")
"""Of two attempts that with the later state says more."""
Attempt = tuple[JobProgress, str]
"""A job and its state."""


def attempts_by_cell(
    jobs: Iterable[JobProgress],
    shown: Collection[CellKey],
    best: Mapping[CellKey, Record],
    present: Present,
) -> dict[CellKey, Attempt]:
    """For each cell, or run of it, the job that says most about it, one that runs rather than one that failed and the
    newest of two alike, and that job's state. Only jobs count that are meant to answer the cell as it is at present
    and, where it has a record, are newer and do not have it as their result."""
    wanted = []
    for job in jobs:
        cells = [cell for cell in job.job.get("cells", ()) if isinstance(cell, dict) and set(cell) == FIELDS]
        keys = []
        for seed in dict.fromkeys((None, seed_of(as_dict(job.job.get("spec"))))):
            open_cells = [
                Cell(**cell)
                for cell in cells
                if (key := run_key(cell, seed)) in shown and (key not in best or _newer(job, best[key]))
            ]
            if open_cells:
                keys += [run_key(cell, seed) for cell in meant(job.job, open_cells, present, seed)]
        if keys:
            wanted.append((job, keys))
    look_up([job for job, _ in wanted])
    found: dict[CellKey, Attempt] = {}
    for job, keys in sorted(wanted, key=lambda one: _time(one[0])):
        state = state_of(job)
        for key in keys:
            if key not in found or ORDER.index(state) >= ORDER.index(found[key][1]):
                found[key] = job, state
    return found


def _time(job: JobProgress) -> str:
    """When there was last news of a job."""
    return max([*(task.updated for task in job.tasks), *(entry.time for entry in job.entries.values())])


def _newer(job: JobProgress, record: Record) -> bool:
    return record.id not in (job.job.get("record_ids") or ()) and _time(job) > record.ended


def most_telling(tried: Mapping[Seed, Attempt]) -> tuple[Seed, Attempt]:
    """The attempt at one of a cell's runs that says most."""
    return max(tried.items(), key=lambda one: ORDER.index(one[1][1]))


def newer_attempts(found: Collection[Seed], tried: Mapping[Seed, Attempt], launch: Launch, runs: Path) -> list[str]:
    """What there is to say of the attempts at a cell's runs, of which those in `found` have a record."""
    said = []
    for seed, (job, state) in tried.items():
        text = (_newer_attempt if seed in found else _attempt)(job, state, launch, runs)
        said.append(f"seed {seed}: {text}" if text and seed is not None else text)
    return said


def failed_runs(found: Collection[Seed], tried: Mapping[Seed, Attempt], launch: Launch, runs: Path) -> list[str]:
    """Those of a cell's several runs that ended badly and have no record, and why."""
    return [
        f"seed {seed}: {reason(job, state, launch, runs)}"
        for seed, (job, state) in tried.items()
        if seed is not None and seed not in found and state in ENDED_BADLY and not _was_stopped(job, state)
    ]


def _attempt(job: JobProgress, state: str, launch: Launch, runs: Path) -> str:
    if _was_stopped(job, state):
        return STOPPED
    if state in ENDED_BADLY:
        return f"{'' if state == 'cancelled' else 'failed: '}{reason(job, state, launch, runs)}"
    return "its record is not there" if state == "done" else state


def _was_stopped(job: JobProgress, state: str) -> bool:
    return state == "stopped" and interrupted(job)


def _newer_attempt(job: JobProgress, state: str, launch: Launch, runs: Path) -> str:
    if _was_stopped(job, state):
        return f"a newer attempt was {STOPPED}"
    if state in ENDED_BADLY:
        return f"a newer attempt {'was' if state == 'cancelled' else 'failed:'} {reason(job, state, launch, runs)}"
    return "a newer attempt is running" if state == "running" else ""


def reason(job: JobProgress, state: str, launch: Launch, runs: Path) -> str:
    """Why a job ended badly, and what shows more."""
    text = why(job, launch)
    if state == "cancelled":
        return text if text.startswith("cancelled") else "cancelled"
    more = f"; {command('status', job.id, '--log', runs=runs)} shows more" if wordless(text) else ""
    return f"{text or 'it ended without an error message'}{more}"
