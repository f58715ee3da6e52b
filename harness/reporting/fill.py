"""From a declared table and what is on disk to what a renderer shows: values, states and notes."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from harness.planning.plan import measured_cell
from harness.planning.present import Present
from harness.planning.text import command
from harness.profiles import Launch, Profile
from harness.reporting.departures import departures, differences, meant
from harness.reporting.near_ties import near_ties
from harness.reporting.speed_notes import speed_notes
from harness.reporting.training_notes import TIMES, training_notes
from harness.running.queue import fraction, look_up, state_of
from harness.running.retries import ENDED_BADLY, interrupted, why, wordless
from harness.tables import Entry as Declared
from harness.tables import Table
from jobs.spec.cells import Cell, same_shares, tokens_per_slot
from results.exported import IMPORTED
from results.figure_files import figures_of
from results.metrics import METRICS, of_job
from results.progress import JobProgress
from results.published import load_published
from results.records import CELL_FIELDS, CellKey, Record, as_dict, cell_key, setting
from results.render.table_view import Entry, TableView

FIELDS = set(CELL_FIELDS)
NAMED = 20
"""Unreadable videos named under a table; a record names all of them."""


def view_table(
    table: Table, profile: Profile, best: Mapping[CellKey, Record], jobs: Iterable[JobProgress], runs: Path
) -> TableView:
    """The table as it stands; `runs` is only named. ValueError where a cell is not valid."""
    published = load_published(table.name)
    measured: dict[Cell, tuple[Cell, str]] = {}
    for declared in table.entries:
        try:
            measured[declared.cell] = measured_cell(declared.cell, profile, table.name)
        except ValueError as error:
            raise ValueError(f"{table.name}, row {declared.row!r}, column {declared.column!r}: {error}") from None
    present = Present(profile, runs.absolute())
    attempts = attempts_by_cell(jobs, {cell_key(cell) for cell, _ in measured.values()}, best, present)
    entries: dict[tuple[str, str], Entry] = {}
    shown: list[tuple[str, Record]] = []
    timed: list[tuple[str, Record]] = []
    said_by: dict[tuple[str, str], str] = {}
    for declared in table.entries:
        place = (declared.row, declared.column)
        cell, note = measured[declared.cell]
        record, attempt = best.get(cell_key(cell)), attempts.get(cell_key(cell))
        printed = published[place].value if place in published else None
        if attempt:
            said_by[place] = attempt[0].id
        if record:
            shown.append((declared.row, record))
            timed.append((", ".join(place), record))
            note = "; ".join(filter(None, [note, _newer_attempt(attempt, profile.launch, runs)]))
            entries[place] = _measured(declared, record, printed, note)
        else:
            if cell.metric == "top1_trained" and profile.train.measure_steps:
                note = f"train.measure_steps = {profile.train.measure_steps} ends the training after so many steps"
            entries[place] = _unmeasured(declared, attempt, printed, note, profile.launch, runs)
    used = [record for _, record in shown]
    standing_in = {wanted: cell for wanted, (cell, _) in measured.items()}
    stand_ins = _stand_ins(standing_in, {item.metric for item in published.values()})
    counted, unlike = _counted(used) + near_ties(used), differences(used) + _editions(used)
    notes = stand_ins + training_notes(shown) + speed_notes(timed) + _figures(used, runs) + departures(used, present)
    notes += counted + _left_out(used) + unlike + _provenance(used)
    notes += _unknown(used, present)
    return TableView(
        name=table.name,
        title=table.title,
        corner=table.corner,
        rows=list(table.rows),
        columns=list(table.columns),
        entries=entries,
        notes=notes,
        of_changes=stand_ins + counted + unlike,
        jobs=said_by,
    )


def _measured(declared: Declared, record: Record, printed: float | None, note: str) -> Entry:
    return Entry(
        row=declared.row,
        column=declared.column,
        metric=declared.cell.metric,
        value=record.value,
        published=printed,
        status=record.status,
        note=note,
        inferred=declared.inferred,
        record=record.id,
        evaluated=record.counts.get("evaluated", 0),
        listed=record.counts.get("listed", 0),
        flags=tuple(record.flags),
    )


def _unmeasured(
    declared: Declared,
    attempt: tuple[JobProgress, str] | None,
    printed: float | None,
    note: str,
    launch: Launch,
    runs: Path,
) -> Entry:
    status, progress = "pending", None
    job, state = attempt or (None, "pending")
    if job and state == "stopped" and interrupted(job):
        note = "stopped by Ctrl-C; run the same command to resume"
    elif job and state in ENDED_BADLY:
        status, note = "failed", _reason(job, state, launch, runs)
    elif job and state == "running":
        status, progress = "running", fraction(job)
    return Entry(
        row=declared.row,
        column=declared.column,
        metric=declared.cell.metric,
        published=printed,
        status=status,
        note=note,
        inferred=declared.inferred,
        progress=progress,
        cancelled=state == "cancelled",
    )


def _newer_attempt(attempt: tuple[JobProgress, str] | None, launch: Launch, runs: Path) -> str:
    job, state = attempt or (None, "")
    if job and state == "stopped" and interrupted(job):
        return "a newer attempt was stopped by Ctrl-C; run the same command to resume"
    if job and state in ENDED_BADLY:
        return f"a newer attempt {'was' if state == 'cancelled' else 'failed:'} {_reason(job, state, launch, runs)}"
    return "a newer attempt is running" if state == "running" else ""


def _reason(job: JobProgress, state: str, launch: Launch, runs: Path) -> str:
    text = why(job, launch)
    if state == "cancelled":
        return text if text.startswith("cancelled") else "cancelled"
    more = f"; {command('status', job.id, '--log', runs=runs)} shows more" if wordless(text) else ""
    return f"{text or 'it ended without an error message'}{more}"


def attempts_by_cell(
    jobs: Iterable[JobProgress],
    shown: Collection[CellKey],
    best: Mapping[CellKey, Record],
    present: Present,
) -> dict[CellKey, tuple[JobProgress, str]]:
    """For each cell the job that says most about it, one that runs rather than one that failed and the newest of two
    alike, and that job's state. Only jobs count that are meant to answer the cell as it is at present and, where it has
    a record, are newer and do not have it as their result."""
    order = ("pending", "done", "lost", "stopped", "failed", "cancelled", "queued", "running")
    wanted = []
    for job in jobs:
        cells = [cell for cell in job.job.get("cells", ()) if isinstance(cell, dict) and set(cell) == FIELDS]
        open_cells = [
            Cell(**cell)
            for cell in cells
            if (key := cell_key(cell)) in shown and (key not in best or _newer(job, best[key]))
        ]
        if open_cells and (keys := [cell_key(cell) for cell in meant(job.job, open_cells, present)]):
            wanted.append((job, keys))
    look_up([job for job, _ in wanted])
    found: dict[CellKey, tuple[JobProgress, str]] = {}
    for job, keys in sorted(wanted, key=lambda one: _time(one[0])):
        state = state_of(job)
        for key in keys:
            if key not in found or order.index(state) >= order.index(found[key][1]):
                found[key] = job, state
    return found


def _time(job: JobProgress) -> str:
    """When there was last news of a job."""
    return max([*(task.updated for task in job.tasks), *(entry.time for entry in job.entries.values())])


def _newer(job: JobProgress, record: Record) -> bool:
    return record.id not in (job.job.get("record_ids") or ()) and _time(job) > record.ended


def _stand_ins(measured: Mapping[Cell, Cell], printed: Collection[str]) -> list[str]:
    """Say what was measured in place of what, once for each way; `printed` are the metrics that the paper has."""
    of, compare = "model and data", "drops"
    if not set(of_job("measure", "train")).isdisjoint(printed):
        of, compare = "model, data and machines", "ratios and drops"
    notes: dict[tuple[str, str], list[str]] = {}
    pairs = set()
    on_data = {(wanted.model, cell.model) for wanted, cell in measured.items() if cell.dataset}
    for wanted, cell in measured.items():
        pair = (wanted.model, wanted.dataset), (cell.model, cell.dataset)
        told = pair in pairs or (not cell.dataset and (wanted.model, cell.model) in on_data)
        if pair[0] != pair[1] and not told:
            pairs.add(pair)
            before, after = (" on ".join(filter(None, names)) for names in pair)
            note = ""
            if wanted.model != cell.model:
                scale = f"{tokens_per_slot(cell.model)}/{tokens_per_slot(wanted.model)}"
                same = same_shares(wanted.model, cell.model)
                what = "the same fractions are dropped" if same else "the first stages drop the same fractions"
                note += f"; r is scaled by {scale}, a slot's tokens, so that {what}"
                note += "" if same else ", and later ones others"
            if printed:
                note += f"; the paper's numbers are of its own {of}, so compare the {compare}, not the levels"
            notes.setdefault((after, note), []).append(before)
    return [f"{after} stands in for {', '.join(before)}{note}" for (after, note), before in notes.items()]


def _figures(records: Iterable[Record], runs: Path) -> list[str]:
    """Say where the pictures of each video are, once for each."""
    notes: dict[str, None] = {}
    for record in records:
        for one in figures_of(record):
            place = f"{runs / one.folder}/ has {', '.join(one.files)}"
            notes[f"{one.video}, {record.cell['reduction']}: {place}"] = None
    return list(notes)


def _counted(records: Iterable[Record]) -> list[str]:
    """Say how many videos the accuracies rest on, where these are few."""
    accuracies = [record for record in records if record.counts and METRICS[record.cell["metric"]].kind == "accuracy"]
    counts = dict.fromkeys(record.counts["evaluated"] for record in accuracies)
    return [
        f"accuracies over {count} videos: one video is {100 / count:.2f} points" for count in counts if 0 < count < 1000
    ]


def _left_out(records: Iterable[Record]) -> list[str]:
    """Say how many videos could not be read, and name them."""
    notes = []
    left_out: dict[str, dict[str, str]] = {}
    for record in records:
        trained = record.cell["metric"] in TIMES
        which = "training videos could not be read and were left out"
        what = which if trained else "videos could not be read and are not counted"
        left_out.setdefault(what, {}).update((item["video"], item["reason"]) for item in record.skipped)
    for what, skipped in left_out.items():
        if skipped:
            named = [f"{video} ({reason})" for video, reason in list(skipped.items())[:NAMED]]
            more = f"; and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
            notes.append(f"{len(skipped)} {what}: {'; '.join(named)}{more}")
    return notes


def _editions(records: Iterable[Record]) -> list[str]:
    """Say where generated videos are others than those that the package names."""
    found: dict[str, None] = {}
    for record in records:
        for name in ("dataset.edition", "evaluate.dataset.edition"):
            if " " in (edition := setting(record, name) or ""):
                why = "another encoder made them, or they were changed, and values may differ"
                found[f"{record.cell['dataset']} is {edition}: {why}"] = None
    return list(found)


def _unknown(records: Iterable[Record], present: Present) -> list[str]:
    """Say of which files it is not known whether values are of them, as they could not be read."""
    for record in records:
        present.settings(record.cell)
    if not present.unknown:
        return []
    return [f"not compared with what was measured, as it cannot be read here: {'; '.join(present.unknown)}"]


def _provenance(records: Iterable[Record]) -> list[str]:
    """Say when, on what and from which commit the shown values were measured."""
    lines: dict[str, list[str]] = {}
    for record in records:
        machine, git = record.provenance.get("machine", {}), record.provenance.get("git", {})
        changed = " with changes" if git.get("dirty") else ""
        commit = f"commit {git['commit'][:10]}{changed}" if git.get("commit") else "commit unknown"
        precision = setting(
            record, "recipe.precision" if METRICS[record.cell["metric"]].job == "train" else "precision"
        )
        device = machine.get("gpu") or machine.get("cpu")
        source = as_dict(record.provenance.get(IMPORTED))
        imported = f"imported from {source.get('file')}" if source else ""
        what = ", ".join(str(part) for part in (precision, device, machine.get("host"), commit, imported) if part)
        lines.setdefault(what, []).append(record.ended[:10])
    notes = []
    for what, days in lines.items():
        until = f" to {max(days)}" if max(days) != min(days) else ""
        notes.append(f"measured {min(days)}{until}: {what}")
    return notes
