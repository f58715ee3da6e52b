"""python -m harness.report [TABLE…]: the tables, measured beside published, from records and printed numbers alone."""

import argparse
import json
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.arguments import Parser, add_common, points, profile_options, run, stop, whole_number
from harness.planning.present import CONTENTS, Present, same_inputs
from harness.planning.text import command
from harness.profiles import Profile, load_profile
from harness.reporting.against import EQUAL, HEADERS, NOISE, compare, how_they_differ, lines_of, summary
from harness.reporting.drops import drops
from harness.reporting.fill import view_table
from harness.tables import Table, load_tables, table_names
from jobs.spec.cells import code_held
from results.exported import read_exported
from results.files import replacing
from results.progress import JobProgress, read_progress
from results.records import CellKey, Record, best_by_cell, read_records
from results.render import formats, render, to_json
from results.render.plot import Plot, write_plots
from results.render.table_view import TableView
from results.seeds import run_key, seed_of

PORT = 8000
CELLS_ONLY = ("csv",)
"""Formats for programs: each cell once, and no tables derived from others."""


@dataclass(frozen=True)
class Found:
    """The content of the runs folder at one moment, and the tables filled from it."""

    records: Sequence[Record]
    best: dict[CellKey, Record]
    jobs: Sequence[JobProgress]
    views: dict[str, TableView]
    """By the table's name."""
    warnings: Sequence[str]


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m harness.report", description=__doc__)
    names = ", ".join(table_names())
    named = f"{names}, a group of them (see sweep --list), or a TOML file; all that have results"
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=named)
    add_common(parser)
    how = parser.add_mutually_exclusive_group()
    layout = "how to print the tables; default: coloured on a terminal, else github; html writes a self-contained page"
    how.add_argument("--format", choices=sorted([*formats(), "html"]), help=layout)
    how.add_argument("--json", action="store_true", help="print one JSON object a cell instead")
    against = "compare the values with those of another runs folder or exported file; 1 where some differ"
    how.add_argument("--against", type=Path, metavar="DIR|FILE", help=against)
    verdicts = "print of each number that a paper prints whether what was measured agrees with it"
    how.add_argument("--verdicts", action="store_true", help=verdicts)
    how.add_argument("--serve", action="store_true", help="serve the page live, to browsers on this machine only")
    parser.add_argument("--port", type=whole_number, metavar="N", help=f"of --serve ({PORT})")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="also write the plots as PDF and SVG into DIR")
    parser.add_argument(
        "--power", type=points, default=0.0, metavar="POINTS", help="say how many videos would tell such a drop"
    )
    options = parser.parse_args(arguments)
    for other in ("serve", "against", "verdicts"):
        if options.plots and getattr(options, other):
            parser.error(f"argument --plots: not allowed with argument --{other}")
    if options.port and not options.serve:
        parser.error("argument --port: only allowed with argument --serve")
    try:
        profile = load_profile(options.profile, options.set, options.plugin)
        tables = load_tables(options.tables or table_names())
        if options.serve:
            _serve(tables, profile, options)
            return 0
        found = look(tables, profile, options.runs, all_of_them=bool(options.tables))
        for warning in found.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        if options.against:
            return _compare(tables, profile, found, options)
        if options.verdicts:
            _judge(tables, profile, found)
            return 0
        if options.plots:
            _write_plots(_plots(tables, profile, found, options.runs), options.plots)
        if options.json:
            print(json.dumps(to_json(found.views.values()), indent=1))
        else:
            if not found.views:
                first = command("sweep", "table2", *profile_options(options), runs=options.runs)
                what = "no results in" if options.runs.exists() else "there is no folder"
                print(f"{what} {options.runs} yet; begin with {first}", file=sys.stderr)
            if found.views or (options.format == "html" and not sys.stdout.isatty()):
                _print(tables, profile, found, options)
    except (ValueError, OSError) as error:
        return stop(error)
    return 0


@code_held()
def look(tables: Sequence[Table], profile: Profile, runs: Path, all_of_them: bool, kept: Collection[str] = ()) -> Found:
    """Read the runs folder; of the tables all, or those that have results and those in `kept`. ValueError where a cell
    is not valid."""
    records, warnings = read_records(runs)
    present = Present(profile, runs.absolute())
    records = [present.marked(record) for record in records]
    best = chosen(records, present, seeds_in(tables))
    jobs = read_progress(runs)
    views = {table.name: view_table(table, profile, best, jobs, runs) for table in tables}
    if not all_of_them:
        swept = {str(name) for job in jobs for name in job.job.get("tables", ())}
        own = {job.id for job in jobs}
        foreign = {record.id for record in records if record.job not in own}
        views = {name: view for name, view in views.items() if name in kept or _is_begun(view, swept, foreign)}
        if others := swept - set(table_names()):
            names = ", ".join(sorted(others))
            warnings = [*warnings, f"{names}: also swept in {runs}; name its TOML file to show it"]
    return Found(records, best, jobs, views, warnings)


def _is_begun(view: TableView, swept: Collection[str], foreign: Collection[str]) -> bool:
    """Whether a table that was not asked for by name is to be shown: it has results, and was swept here or has a record
    of no job here, an imported one, say. That it shares cells with a table that was swept is not enough."""
    begun = any(entry.status not in ("pending", "printed") for entry in view.in_order())
    return begun and (view.name in swept or any(id in foreign for entry in view.in_order() for id in entry.records))


def seeds_in(tables: Iterable[Table]) -> list[int]:
    """All seeds that tables ask trainings of."""
    return list(dict.fromkeys(seed for table in tables for seed in table.seeds))


def chosen(records: Collection[Record], present: Present, seeds: Iterable[int]) -> dict[CellKey, Record]:
    """Of each cell the record that stands for it, and of each of its runs with these seeds, as `run_key` has them."""
    best = best_by_cell(filter(present.answers, records), present.settings, same_inputs, CONTENTS)
    for seed in seeds:
        runs = [record for record in records if seed_of(record.settings) == seed]
        found = best_by_cell(runs, partial(present.settings, seed=seed), same_inputs, CONTENTS)
        best |= {run_key(record.cell, seed): record for record in found.values()}
    return best


@code_held()
def page_text(
    tables: Sequence[Table], profile: Profile, found: Found, runs: Path, live: bool = False, drop: float = 0
) -> str:
    """The report as one HTML page."""
    from harness.reporting.changed import changed
    from harness.reporting.page_content import build_page
    from harness.reporting.verdicts import on_page
    from results.render.page import render_page

    views = _with_drops(tables, profile, found, drop)
    plots = _plots(tables, profile, found, runs)
    shown = [table for table in tables if table.name in found.views]
    sides = [one for table in shown for one in changed(table, profile, found.best, runs)]
    judged = on_page(shown, profile, found.best)
    page = build_page(views, profile.name, found.records, found.jobs, runs, plots, found.warnings, live, sides, judged)
    return render_page(page)


def _with_drops(tables: Sequence[Table], profile: Profile, found: Found, drop: float) -> list[TableView]:
    """Each table, and after it the one of what its reductions change."""
    views = []
    for table in tables:
        if view := found.views.get(table.name):
            views += [view, drops(table, view, profile, found.best, drop)]
    return [view for view in views if view]


def _plots(tables: Sequence[Table], profile: Profile, found: Found, runs: Path) -> list[Plot]:
    from harness.reporting.trends import plots

    return plots([table for table in tables if table.name in found.views], profile, found.best, runs)


def _write_plots(plots: Sequence[Plot], folder: Path) -> None:
    if not plots:
        print(f"there is nothing to draw yet, so no plots were written to {folder}", file=sys.stderr)
        return
    print(f"{len(write_plots(plots, folder))} files of plots are in {folder}", file=sys.stderr)


@code_held()
def _print(tables: Sequence[Table], profile: Profile, found: Found, options: argparse.Namespace) -> None:
    if options.format == "html":
        _print_page(page_text(tables, profile, found, options.runs, drop=options.power), options.runs)
        return
    if options.format in CELLS_ONLY:
        views = list(found.views.values())
    else:
        views = _with_drops(tables, profile, found, options.power)
    if options.format or not sys.stdout.isatty():
        print(render(views, options.format or "github"), end="")
        return
    from results.render import terminal

    terminal.show(views, sys.stdout)


def _compare(tables: Sequence[Table], profile: Profile, found: Found, options: argparse.Namespace) -> int:
    """Print the values beside others of the same cells; 1 where some differ, or cannot be compared."""
    if not options.against.exists():
        raise ValueError(f"{options.against} is neither a runs folder nor a file of `python -m harness.export`")
    if options.against.is_dir():
        records, warnings = read_records(options.against)
    else:
        records, warnings = list(read_exported(options.against).records), []
    for warning in warnings:
        print(f"warning: {options.against}: {warning}", file=sys.stderr)
    there = chosen(records, Present(profile, options.runs.absolute()), seeds_in(tables))
    passed, any_cell = True, False
    for table in tables:
        if compared := compare(table, profile, found.best, there):
            any_cell = True
            passed = passed and all(one.verdict in (EQUAL, NOISE) for one in compared)
            print(f"### {table.title}: {options.runs} against {options.against}\n")
            _print_plain(lines_of(compared), HEADERS)
            print("\n".join(f"- {line}" for line in [summary(compared), *how_they_differ(compared)]) + "\n")
    if not any_cell:
        raise ValueError(f"neither {options.runs} nor {options.against} has values of these tables")
    return 0 if passed else 1


def _judge(tables: Sequence[Table], profile: Profile, found: Found) -> None:
    """Print a verdict on each printed number of the tables that are shown, and how many there are of each."""
    from harness.reporting.verdicts import HEADERS, judged, lines_of, summary

    by_table = [(table, judged(table, profile, found.best)) for table in tables if table.name in found.views]
    print(summary([one for _, verdicts in by_table for one in verdicts]) + "\n")
    for table, verdicts in by_table:
        if verdicts:
            print(f"### {table.title}: {summary(verdicts)}\n")
            _print_plain(lines_of(verdicts), HEADERS)


def _print_plain(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> None:
    """As Markdown, or on a terminal within its width: the last column, the longest, is wrapped."""
    from tabulate import tabulate

    if not sys.stdout.isatty():
        print(tabulate(rows, headers, "pipe", disable_numparse=True) + "\n")
        return
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    room = shutil.get_terminal_size().columns - sum(min(width, 30) + 2 for width in widths[:-1])
    most = [min(width, 30) for width in widths[:-1]] + [max(room, 20)]
    print(tabulate(rows, headers, "simple", disable_numparse=True, maxcolwidths=most) + "\n")


def _print_page(text: str, runs: Path) -> None:
    """To a pipe or a file the page goes as it is; on a terminal, which it would flood, to a file that is named."""
    if not sys.stdout.isatty():
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())  # as its head says, whatever the terminal's encoding
        return
    path = runs / "report.html"
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror if runs.exists() else f"{runs} is not there"
        raise ValueError(f"cannot write {path}: {reason}; --format html > FILE writes it elsewhere") from None
    print(f"the report is in {path}; open it in a browser")


def _serve(tables: Sequence[Table], profile: Profile, options: argparse.Namespace) -> None:
    from harness.reporting.serve import serve

    kept: set[str] = set()

    def make_page() -> str:
        found = look(tables, profile, options.runs, all_of_them=bool(options.tables), kept=kept)
        kept.update(found.views)  # also while a stopped sweep starts again
        return page_text(tables, profile, found, options.runs, live=True, drop=options.power)

    serve(make_page, options.port or PORT)


if __name__ == "__main__":
    sys.exit(run(main))
