"""What tables read, looked at before jobs do: label files, a sample of their videos, weights."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.planning.plan import Plan, make_plan, measured_cell
from harness.planning.planner import Planner
from harness.planning.text import plural
from harness.running.findings import Finding, ok, warning, wrong
from harness.running.job_files import datasets_of, problems_of_weights
from harness.tables import Table
from jobs.spec import jobs
from models.weights_files import weights_files

SAMPLED = 20
"""How many videos of each label file are checked."""


def plan_tables(tables: Sequence[Table], planner: Planner, asked: bool) -> tuple[Plan, list[Finding]]:
    """A plan of the tables that can be measured under the profile, and a line for each thing that another needs. What
    was not `asked` for by name only has to be there where there would be nothing left otherwise."""
    problems = {table.name: _problems(table, planner) for table in tables}
    able = [table for table in tables if not problems[table.name]]
    say = wrong if asked or not able else warning
    first = [found[0] for found in problems.values() if found]
    said = dict.fromkeys(text for found in problems.values() for text in found) if say is wrong else first
    findings = [say("tables", text) for text in said]
    plan = make_plan(able, planner, ())
    if able:
        names = ", ".join(table.name for table in able)
        findings.insert(0, ok("tables", f"{names}: {plan.text}, {plural(len(plan.jobs), 'job')}"))
    return plan, findings


def check_inputs(plan: Plan, planner: Planner) -> tuple[list[Finding], str]:
    """A line for each label file, one for all weights, and a video that can be read, or ""."""
    findings, video = [], ""
    for dataset in datasets_of(plan.jobs):
        finding, readable = _check_videos(dataset, bool(planner.profile.datasets[dataset.name].prepare))
        findings.append(finding)
        video = video or readable
    return [*findings, *_check_weights(plan)], video


def _problems(table: Table, planner: Planner) -> list[str]:
    found: dict[str, None] = {}
    for entry in table.entries:
        try:
            planner.job([measured_cell(entry.cell, planner.profile, table.name)[0]])
        except (ValueError, OSError) as error:
            found[f"{table.name}: {error}"] = None
    return list(found)


def _check_weights(plan: Plan) -> Iterator[Finding]:
    try:
        problems = problems_of_weights(plan.jobs)
    except ValueError as error:
        yield wrong("weights", str(error))
        return
    if right := {check.path: check for check, problem in problems.items() if not problem}:
        size = sum(file.stat().st_size for path in right for file in weights_files(Path(path)))
        fit = "fits its model" if len(right) == 1 else "fit their models"
        yield ok("weights", f"{', '.join(right)} {fit} ({size / 1e6:,.0f} MB)")
    yield from (wrong("weights", problem) for problem in problems.values() if problem)


def _check_videos(dataset: jobs.Dataset, prepared: bool) -> tuple[Finding, str]:
    """What there is to say of a label file, and one of its videos that can be read, or ""."""
    from jobs.data.decoding.faults import Unreadable
    from jobs.data.labels import read_labels, what_it_is
    from jobs.data.reader import check_file

    subject = f"labels of {dataset.name}"
    if prepared and not Path(dataset.labels).exists():
        return ok(subject, f"{dataset.labels} is generated, with its videos, when a sweep needs it"), ""
    try:
        items = read_labels(dataset.labels, dataset.root, dataset.num_classes, dataset.classes)
    except ValueError as error:
        return wrong(subject, str(error)), ""
    sampled = items[:: max(1, len(items) // SAMPLED)][:SAMPLED]
    readable, unreadable = "", []
    for item in sampled:
        try:
            check_file(item.file)
            readable = readable or item.file
        except Unreadable as error:
            unreadable.append(f"{item.file}: {error}")
    labels = {item.label for item in items}
    kind = what_it_is(dataset.labels)
    listed = f"{dataset.labels} ({kind}): {len(items):,} videos, labels {min(labels)} … {max(labels)}"
    if unreadable:
        share = f"{len(unreadable)} of {len(sampled)} sampled videos cannot be read, the first: {unreadable[0]}"
        if not readable:
            return wrong(subject, f"{listed}; {share}; is datasets.{dataset.name}.root, {dataset.root}, right?"), ""
        return warning(subject, f"{listed}; {share}"), readable
    if len(labels) < dataset.num_classes:
        few = f"only {len(labels)} of datasets.{dataset.name}.num_classes = {dataset.num_classes} labels occur"
        return warning(subject, f"{listed}; {few}"), readable
    return ok(subject, f"{listed}; {len(sampled)} sampled are there"), readable
