"""Jobs as a list: a line each, running ones first, and a summary line."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.following.job_selection import cells_of
from harness.following.logs import last_words
from harness.profiles import Launch
from harness.running.queue import known_states, look_up, queued_tasks, silence, state_of
from harness.running.retries import ENDED_BADLY, why, wordless
from results.progress import JobProgress
from results.provenance import age_s
from results.records import CELL_FIELDS, as_dict
from results.render.grid import printable
from results.seeds import seed_of

ORDER = ("running", "queued", "failed", "lost", "stopped", "cancelled", "pending", "done")
SHORT_ID = 8
"""Characters of an id that a terminal shows; every option accepts them in place of the whole id."""
LONGEST = {"tables": 16, "state": 30}
"""Characters of a column on a terminal."""
LEAST_CELLS = 12
TEXT_LINES = 3
"""Lines that a terminal shows of a job's message."""
WORDS = 200
"""Characters of a log's last lines."""
NAMED = 3
"""How many nodes are listed by name before the rest is counted."""


@dataclass(frozen=True)
class Line:
    """What the list says of a job."""

    job: str
    kind: str
    tables: Sequence[str]
    cells: str
    """A short phrase."""
    state: str
    waits_for: str
    """Why it, or some of its tasks, are not running yet, as SLURM says."""
    done: int
    total: int
    """Steps; 0 as long as no task has begun."""
    guessed: bool
    """Whether the total is extrapolated to tasks that have not begun."""
    tasks_done: int
    tasks: int
    tasks_waiting: int
    restarts: int
    """The highest number of restarts of any task."""
    nodes: Sequence[str]
    """Where it runs."""
    seconds: float | None
    """How long it has been in this state; None if unknown."""
    text: str
    """A running job's own message, or why it ended."""


def lines(jobs: Iterable[JobProgress], runs: Path) -> tuple[list[Line], str]:
    """A line for each job, and a note on SLURM, or an empty text."""
    jobs = list(jobs)
    silent = look_up(jobs)
    found = [_line(job, runs, "squeue" in silent) for job in jobs]
    return sorted(found, key=lambda line: (ORDER.index(line.state), line.seconds or 0.0, line.job)), silence(silent)


def summary(found: Sequence[Line]) -> str:
    """How many jobs there are, by state."""
    counts = Counter(line.state for line in found)
    said = [f"{counts[state]} {state}" for state in ORDER if counts[state]]
    if counts["running"]:
        nodes = len({node for line in found for node in line.nodes})
        said[0] += f" on {nodes} node{'s' * (nodes != 1)}"
    return f"{len(found)} job{'s' * (len(found) != 1)}: {', '.join(said)}"


def table(found: Sequence[Line], width: int | None) -> str:
    """The list, as wide as a terminal is, what there is to say of a job below it; None: a line a job, however long."""
    rows = [_columns(line) for line in found]
    if width is None:
        return "\n".join(_grid(list(rows[0]) if rows else [], rows))
    for row in rows:
        row |= {name: _cut(row[name], most) for name, most in LONGEST.items()}
        row["job"] = row["job"][:SHORT_ID]
    columns = ["job", "kind", "tables", "state", "steps", "tasks", "for"]
    room = max(LEAST_CELLS, width - 2 - max(map(len, _grid(columns, rows))))
    for row in rows:
        row["cells"] = _cut(row["cells"], room)
    head, rule, *shown = _grid([*columns, "cells"], rows)
    text = [head, rule]
    for printed, line in zip(shown, found, strict=True):
        times = "once" if line.restarts == 1 else f"{line.restarts} times"
        said = "; ".join(filter(None, [f"started again {times}" * bool(line.restarts), _more(line)]))
        indent: dict[str, Any] = {"initial_indent": "  ", "subsequent_indent": "  "}
        text += [printed, *textwrap.wrap(said, width, max_lines=TEXT_LINES, placeholder=" …", **indent)]
    return "\n".join(text)


def as_json(found: Iterable[Line]) -> list[dict[str, Any]]:
    """One dict a job."""
    return [asdict(line) for line in found]


def _line(job: JobProgress, runs: Path, silent: bool) -> Line:
    state = state_of(job)
    running = [task for task in job.tasks if task.state == "running"]
    waiting = queued_tasks(job)
    since = max(task.updated for task in job.tasks)
    if state == "running":
        since = min(task.started for task in running)
    elif state == "queued":
        since = min((job.entries[task].time for task in waiting), default="")
    sharing = job.tasks[:1] if job.job.get("kind") == "train" else job.tasks
    begun = sum(task.total > 0 for task in sharing)
    tries = [sum(entry.tries.values()) for entry in job.entries.values()]
    return Line(
        job=job.id,
        kind=str(job.job.get("kind", "?")),
        tables=[str(table) for table in job.job.get("tables", ())],
        cells=_cells(job),
        state=state,
        waits_for=_waits_for(job, waiting, silent),
        done=job.done,
        total=job.total * len(sharing) // begun if begun else 0,
        guessed=0 < begun < len(sharing),
        tasks_done=sum(task.state == "done" for task in job.tasks),
        tasks=len(job.tasks),
        tasks_waiting=len(waiting),
        restarts=max([*tries, *(task.restarts for task in job.tasks)]),
        nodes=sorted({task.node or task.host for task in running} - {""}),
        seconds=age if (age := age_s(since)) != float("inf") else None,
        text=printable(_why(job, runs) if state in ENDED_BADLY else job.text),
    )


def _cells(job: JobProgress) -> str:
    """Model, reduction and dataset as far as all cells of the job share them; then grid and metric of a single cell, or
    how many there are; then the seed of a training."""
    cells = cells_of(job)
    one = {name: {str(cell.get(name, "")) for cell in cells} for name in CELL_FIELDS}
    shared = {name: next(iter(values)) for name, values in one.items() if len(values) == 1}
    words = ["/".join(shared[name] for name in ("model", "reduction", "dataset") if shared.get(name))]
    words += [f"{len(cells)} cells"] if len(cells) != 1 else [shared["views"], shared["metric"]]
    seed = seed_of(as_dict(job.job.get("spec")))
    words += [f"seed {seed}"] if seed is not None else []
    return " ".join(filter(None, words))


def _waits_for(job: JobProgress, waiting: Iterable[int], silent: bool) -> str:
    """What most of the waiting tasks wait for."""
    entries = [job.entries[task] for task in waiting]
    states = known_states(entries)
    reasons: Counter[str] = Counter()
    for entry in entries:
        seen = states.get(entry.id)
        if entry.executor == "slurm" and not entry.id:
            reasons["being submitted"] += 1
        elif seen and seen.state == "PENDING":
            reasons[seen.reason if seen.reason != "None" else ""] += 1
        elif seen:
            began = seen.state in ("RUNNING", "CONFIGURING")
            reasons["starting" + f" on {seen.nodes}" * bool(seen.nodes) if began else seen.state.lower()] += 1
        elif entry.executor == "slurm":
            reasons["squeue does not answer" if silent else "not in squeue yet"] += 1
    return next((reason for reason, _ in reasons.most_common(1)), "")


def _why(job: JobProgress, runs: Path) -> str:
    text = why(job, Launch())
    if wordless(text) and (words := last_words(job, runs)):
        text = f"{text or 'it ended without an error message'}; its log ends: {words[-WORDS:]}"
    return "" if text == "cancelled" else text


def _grid(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> list[str]:
    import tabulate

    text = tabulate.tabulate([[row[name] for name in columns] for row in rows], columns, disable_numparse=True)
    return [line.rstrip() for line in text.splitlines()]


def _columns(line: Line) -> dict[str, str]:
    state = f"queued ({line.waits_for})" if line.state == "queued" and line.waits_for else line.state
    percent = f" {100 * min(line.done, line.total) // line.total} %" if line.total else ""
    return {
        "job": line.job,
        "kind": line.kind,
        "tables": ", ".join(line.tables),
        "cells": line.cells,
        "state": state,
        "steps": f"{line.done}/{'~' * line.guessed}{line.total}{percent}" if line.total else "",
        "tasks": f"{line.tasks_done}/{line.tasks}",
        "restarts": str(line.restarts),
        "for": _span(line.seconds),
        "more": _more(line),
    }


def _more(line: Line) -> str:
    """All that the columns do not say."""
    said = []
    if line.nodes:
        more = f" and {len(line.nodes) - NAMED} more" if len(line.nodes) > NAMED else ""
        said.append(f"on {', '.join(line.nodes[:NAMED])}{more}")
    if line.state == "running" and line.tasks_waiting:
        plural = line.tasks_waiting > 1
        reason = f" ({line.waits_for})" if line.waits_for else ""
        said.append(f"{line.tasks_waiting} task{'s' * plural} wait{'s' * (not plural)}{reason}")
    return "; ".join(filter(None, [*said, line.text]))


def _span(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for unit, size, up_to in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48)):
        if seconds < up_to * size:
            return f"{max(seconds, 0) / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
