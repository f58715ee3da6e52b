"""What the HTML report shows, gathered: values, the records, jobs and logs behind them, and figures.

A page has limited room: with many logs and figures some are left out, and named.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from harness.following import listing
from harness.following.logs import log_files, tail
from results.figure_files import Drawn, figures_of
from results.files import read_json
from results.progress import JobProgress
from results.provenance import utc_now
from results.records import Record, setting
from results.render.page.content import Changed, Figure, Job, Judged, Log, Page
from results.render.page.data import as_text
from results.render.page.drawable import problem_of
from results.render.table_view import TableView

if TYPE_CHECKING:
    from results.render.plot import Plot

LOGS = 300_000
"""Characters of all logs together."""
LINES, LINES_FAILED = 20, 100
"""Of the end of a log; of a job that failed more of them help."""
LONGEST, LONGEST_FAILED = 2_000, 12_000
"""Characters of the end of a log."""
LOGS_OF_A_JOB = 3
FIGURES, RECORDS = 1_500_000, 1_000
"""Bytes of all figures together on a page without records; a page with records has half of it."""


def build_page(
    views: Sequence[TableView],
    profile: str,
    records: Iterable[Record],
    jobs: Iterable[JobProgress],
    runs: Path,
    plots: Sequence["Plot"],
    warnings: Sequence[str] = (),
    live: bool = False,
    changed: Sequence[Changed] = (),
    judged: Sequence[Judged] = (),
) -> Page:
    """Gather the page of `views`: tables as they stand, and tables derived from them.

    A live page shows nothing that changes on its own, such as the time or ages.
    """
    by_id = {record.id: record for record in records}
    shown = [by_id[id] for id in _shown(views, plots) if id in by_id]
    by_job = {job.id: job for job in jobs}
    attempts = {(view.name, *place): job for view in views for place, job in view.jobs.items()}
    wanted = dict.fromkeys([*attempts.values(), *(record.job for record in shown)])
    found = [by_job[id] for id in wanted if id in by_job]
    return Page(
        runs=str(runs),
        profile=profile,
        views=views,
        records=shown,
        total=len(by_id),
        jobs=_jobs(found, runs),
        attempts=attempts,
        plots=plots,
        figures=_figures(shown, runs),
        changed=changed,
        judged=judged,
        warnings=warnings,
        made="" if live else utc_now(),
        live=live,
    )


def _shown(views: Iterable[TableView], plots: Iterable["Plot"]) -> list[str]:
    """The ids of the records behind what is shown, in the order of the page."""
    in_tables = [id for view in views for entry in view.in_order() for id in entry.records]
    in_plots = [point.record for plot in plots for series in plot.series for point in series.points]
    return [id for id in dict.fromkeys([*in_tables, *in_plots]) if id]


def _jobs(jobs: Sequence[JobProgress], runs: Path) -> dict[str, Job]:
    """The jobs with the ends of their logs; those of jobs that failed come first, should there be no room for all."""
    by_id = {job.id: job for job in jobs}
    lines, _ = listing.lines(jobs, runs)
    left, seen = LOGS, dict[Path, Log]()
    found = {}
    for line in sorted(lines, key=lambda line: line.state in ("done", "queued", "pending")):
        files = log_files(by_id[line.job], runs)
        logs = []
        for path, task in files[:LOGS_OF_A_JOB]:
            if path not in seen:  # one process may run several jobs
                seen[path] = _log(path, task, runs, line.state, left)
                left -= len(seen[path].text)
            logs.append(replace(seen[path], task=task))
        said = "; ".join(filter(None, [f"waits: {line.waits_for}" if line.waits_for else "", line.text]))
        more = len(files) - len(logs)
        found[line.job] = Job(line.job, line.kind, line.state, said, line.nodes, line.restarts, logs, more)
    return {job.id: found[job.id] for job in jobs}


def _log(path: Path, task: int, runs: Path, state: str, room: int) -> Log:
    failed = state in ("failed", "lost", "stopped")
    text, longest = "", min(room, LONGEST_FAILED if failed else LONGEST)
    if longest > 0:
        try:
            text = "\n".join(tail(path, LINES_FAILED if failed else LINES))
        except OSError as error:
            text = f"cannot be read: {error.strerror}"
        text = _without_colours(text)[-longest:]
    return Log(str(path.relative_to(runs)), task, text)


def _without_colours(text: str) -> str:
    """A log as text: no escape sequences of terminals, nor other control characters than tabs and ends of lines."""
    text = re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)", "", text)
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "�", text)


def _figures(records: Iterable[Record], runs: Path) -> list[Figure]:
    """The figures of the records; where not all have room, those of each record's first video come first."""
    figures = [[_figure(record, one) for one in figures_of(record)] for record in records]
    room, contents = int(FIGURES * RECORDS / (RECORDS + len(figures))), dict[tuple[str, str], Figure]()
    full = f"the page embeds {room / 1e6:.1f} MB of figures, and this one is beyond that"
    for figure in (one for turn in zip_longest(*figures) for one in turn if one):
        found, size = _with_content(figure, runs, room, full)
        contents[figure.record, figure.folder] = found
        room -= size
    return [contents[figure.record, figure.folder] for one in figures for figure in one]


def _figure(record: Record, one: Drawn) -> Figure:
    found = Figure(record.id, one.video, one.folder, one.files, one.stages, one.said)
    return replace(found, dataset=record.cell["dataset"], given=bool(setting(record, "video_sha256")))


def _with_content(figure: Figure, runs: Path, room: int, full: str) -> tuple[Figure, int]:
    """The figure with what its page.json holds, or why not: `full` beyond `room`; and how many bytes it takes."""
    path = runs / figure.folder / "page.json"
    try:
        # A record may come from elsewhere; it must not name any file of this machine.
        if not path.resolve().is_relative_to(runs.resolve()):
            raise ValueError("it lies outside the runs folder")
        content = read_json(path)
        # The file is indented; the page is not.
        size = len(as_text(content).encode())
        if size > room:
            return replace(figure, missing=full), 0
        if problem := problem_of(content):
            raise ValueError(problem)
    except FileNotFoundError:
        return replace(figure, missing=f"{figure.folder}/page.json is not there"), 0
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return replace(figure, missing=f"{figure.folder}/page.json is ignored: {reason}"), 0
    return replace(figure, content=content), size
