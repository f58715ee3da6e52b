"""From a declared table and what is on disk to what a renderer shows: values, states and notes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from harness.planning.plan import measured_cell
from harness.planning.present import Present
from harness.profiles import Launch, Profile
from harness.reporting.attempts import (
    STOPPED,
    Attempt,
    attempts_by_cell,
    failed_runs,
    most_telling,
    newer_attempts,
    reason,
)
from harness.reporting.departures import departures, differences
from harness.reporting.near_ties import near_ties
from harness.reporting.speed_notes import speed_notes
from harness.reporting.training_notes import TIMES, training_notes
from harness.running.queue import fraction
from harness.running.retries import ENDED_BADLY, interrupted
from harness.tables import Entry as Declared
from harness.tables import Table
from jobs.spec.cells import Cell, same_shares, tokens_per_slot
from results.exported import IMPORTED
from results.figure_files import figures_of
from results.metrics import METRICS, of_job
from results.progress import JobProgress
from results.published import load_published
from results.records import CellKey, Record, as_dict, setting
from results.render.table_view import Entry, TableView
from results.seeds import Seed, deviation, one_of, run_key, run_name, runs_of, values_of

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
    keys = {
        wanted: {seed: run_key(cell, seed) for seed in table.seeds_of(wanted)} for wanted, (cell, _) in measured.items()
    }
    attempts = attempts_by_cell(jobs, {key for of_cell in keys.values() for key in of_cell.values()}, best, present)
    entries: dict[tuple[str, str], Entry] = {}
    shown: list[tuple[str, Record]] = []
    timed: list[tuple[str, Record]] = []
    said_by: dict[tuple[str, str], str] = {}
    for declared in table.entries:
        place = (declared.row, declared.column)
        cell, note = measured[declared.cell]
        seeds = table.seeds_of(declared.cell)
        found = runs_of(cell, seeds, best)
        tried = {seed: attempts[key] for seed, key in keys[declared.cell].items() if key in attempts}
        printed = published[place].value if place in published else None
        if tried:
            said_by[place] = most_telling(tried)[1][0].id
        if found:
            shown += [(run_name(declared.row, seed), record) for seed, record in found.items()]
            timed += [(", ".join(place), record) for record in found.values()]
            note = "; ".join(filter(None, [note, *newer_attempts(found, tried, profile.launch, runs)]))
            failures = failed_runs(found, tried, profile.launch, runs)
            entries[place] = _measured(declared, found, seeds, printed, note, failures)
        else:
            if cell.metric == "top1_trained" and profile.train.measure_steps:
                note = f"train.measure_steps = {profile.train.measure_steps} ends the training after so many steps"
            entries[place] = _unmeasured(declared, tried, printed, note, profile.launch, runs)
    for place, item in published.items():
        if place not in entries and place[0] in table.rows and place[1] in table.columns:
            entries[place] = Entry(*place, item.metric, published=item.value, status="printed")
    used = [record for _, record in shown]
    standing_in = {wanted: cell for wanted, (cell, _) in measured.items()}
    stand_ins = _stand_ins(standing_in, {item.metric for item in published.values()})
    counted, unlike = _counted(used) + near_ties(used), differences(used, table.seeds) + _editions(used)
    notes = stand_ins + training_notes(shown, table.seeds) + speed_notes(timed) + _figures(used, runs)
    notes += departures(used, present, table.seeds)
    if any(entry.deviation is not None for entry in entries.values()):
        notes.append(f"±: the standard deviation over trainings with seeds {', '.join(map(str, table.seeds))}")
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


def _measured(
    declared: Declared,
    runs: Mapping[Seed, Record],
    seeds: Sequence[Seed],
    printed: float | None,
    note: str,
    failures: Sequence[str],
) -> Entry:
    record = one_of(runs, seeds)
    values = values_of(record)
    return Entry(
        row=declared.row,
        column=declared.column,
        metric=declared.cell.metric,
        value=record.value,
        published=printed,
        status=record.status,
        note=note,
        inferred=declared.inferred,
        record=None if values else record.id,
        evaluated=record.counts.get("evaluated", 0),
        listed=record.counts.get("listed", 0),
        flags=tuple(record.flags),
        deviation=deviation(values),
        runs=tuple((seed, run.id) for seed, run in runs.items() if values and seed is not None),
        failures=failures,
    )


def _unmeasured(
    declared: Declared,
    tried: Mapping[Seed, Attempt],
    printed: float | None,
    note: str,
    launch: Launch,
    runs: Path,
) -> Entry:
    status, progress = "pending", None
    seed, (job, state) = most_telling(tried) if tried else (None, (None, "pending"))
    if job and state == "stopped" and interrupted(job):
        note = STOPPED
    elif job and state in ENDED_BADLY:
        status, note = "failed", reason(job, state, launch, runs)
    elif job and state == "running":
        status, progress = "running", fraction(job)
    if seed is not None:
        note = ": ".join(filter(None, [f"seed {seed}", note or state]))
        others = {other: attempt for other, attempt in tried.items() if other != seed}
        note = "; ".join([note, *newer_attempts((), others, launch, runs)])
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
        failures=failed_runs((), tried, launch, runs) if status != "failed" else (),
    )


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
        compiled = "compiled" if setting(record, "compile") else ""
        attention = setting(record, "attention")
        kernel = f"{attention} attention" if attention not in (None, "auto") else ""
        device = machine.get("gpu") or machine.get("cpu")
        source = as_dict(record.provenance.get(IMPORTED))
        imported = f"imported from {source.get('file')}" if source else ""
        parts = precision, compiled, kernel, device, machine.get("host"), commit, imported
        what = ", ".join(str(part) for part in parts if part)
        lines.setdefault(what, []).append(record.ended[:10])
    notes = []
    for what, days in lines.items():
        until = f" to {max(days)}" if max(days) != min(days) else ""
        notes.append(f"measured {min(days)}{until}: {what}")
    return notes
