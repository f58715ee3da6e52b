"""Which jobs the user means: by id, table, record, SLURM's id, or words of the cells that they measure."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from jobs.spec.cells import canonical
from results.progress import JobProgress

NAMED = 10
"""How many jobs an error message lists."""

Chosen = dict[str, set[int]]
"""By job id, the places of the cells that are meant among the job's: all where the job itself is."""


def choose(jobs: Sequence[JobProgress], words: Iterable[str], one_each: bool = False) -> Chosen:
    """What each word names. A whole name is never treated as the beginning of another. ValueError where a word
    names nothing, and with `one_each` where it begins the ids of several jobs."""
    chosen: Chosen = {}
    for word in words:
        found = _named(jobs, word) or _with_cells(jobs, word)
        if not found:
            found = _begun(jobs, word)
            if one_each and len(found) > 1:
                raise ValueError(
                    f"{word!r} matches {len(found)} jobs: {', '.join(found)}; give more characters of the id"
                )
        if not found:
            raise ValueError(_unknown(jobs, word))
        for job_id, places in found.items():
            chosen.setdefault(job_id, set()).update(places)
    return chosen


def cells_of(job: JobProgress) -> list[dict[str, str]]:
    """The cells that a job measures, as far as its file says."""
    return [cell for cell in job.job.get("cells") or () if isinstance(cell, dict)]


def _named(jobs: Iterable[JobProgress], word: str) -> Chosen:
    """Jobs of that very id, of that table, or with a task of that id in SLURM."""
    table = Path(word).stem if word.endswith(".toml") else word

    def fits(job: JobProgress) -> bool:
        ids = {entry.id for entry in job.entries.values() if entry.executor == "slurm" and entry.id}
        slurm = ids | {one.partition("_")[0] for one in ids}
        return word == job.id or table in job.job.get("tables", ()) or word in slurm

    return _whole(jobs, fits)


def _with_cells(jobs: Iterable[JobProgress], word: str) -> Chosen:
    """Jobs with cells that all parts of `word`, between slashes, are of."""
    parts = word.split("/")
    found: Chosen = {}
    for job in jobs:
        places = {place for place, cell in enumerate(cells_of(job)) if all(_is_of(part, cell) for part in parts)}
        if places:
            found[job.id] = places
    return found


def _begun(jobs: Iterable[JobProgress], word: str) -> Chosen:
    """Jobs whose id, or the id of one of whose records, begins so."""
    if not word:
        return {}
    if found := _whole(jobs, lambda job: job.id.startswith(word)):
        return found
    for job in jobs:
        records = job.job.get("record_ids") or ()
        if places := {place for place, record in enumerate(records) if str(record).startswith(word)}:
            found[job.id] = places
    return found


def _whole(jobs: Iterable[JobProgress], fits: Callable[[JobProgress], bool]) -> Chosen:
    return {job.id: set(range(len(cells_of(job)))) for job in jobs if fits(job)}


def _is_of(part: str, cell: dict[str, str]) -> bool:
    return bool(part) and (part in cell.values() or _spelled(part, cell.get("model", "")) == cell.get("reduction"))


@lru_cache(maxsize=1000)
def _spelled(reduction: str, model: str) -> str:
    """The one spelling of a reduction; empty where it is none."""
    try:
        return canonical(reduction, model)
    except ValueError:
        return ""


def _unknown(jobs: Sequence[JobProgress], word: str) -> str:
    tables = ", ".join(dict.fromkeys(str(table) for job in jobs for table in job.job.get("tables", ()))) or "none"
    known = ", ".join(job.id for job in jobs[:NAMED]) or "none"
    more = f" and {len(jobs) - NAMED} more" if len(jobs) > NAMED else ""
    return f"no job, table, record or cell {word!r} here; tables: {tables}; jobs: {known}{more}"
