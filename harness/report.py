"""python -m harness.report [TABLE…]: the tables, measured beside published, from records and printed numbers alone."""

import json
import sys
from pathlib import Path

from harness.arguments import Parser, add_common, command, profile_options, run, stop
from harness.profiles import load_profile
from harness.settings import expected_settings
from harness.tables import load_table, table_names
from harness.views import view_table
from results.progress import read_progress
from results.records import best_by_cell, read_records
from results.render import formats, render, to_json


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m harness.report", description=__doc__)
    names = ", ".join(table_names())
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"{names}, or a TOML file; all that have results")
    add_common(parser)
    parser.add_argument("--format", choices=formats(), default="github", help="how to print the tables (github)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a cell instead")
    options = parser.parse_args(arguments)
    runs: Path = options.runs
    try:
        profile = load_profile(options.profile, options.set)
        tables = [load_table(name) for name in dict.fromkeys(options.tables or table_names())]
        records, warnings = read_records(runs)
        best = best_by_cell(records, lambda cell: expected_settings(cell, profile, runs.absolute()))
        jobs = read_progress(runs)
        views = [view_table(table, profile, best, jobs, runs) for table in tables]
    except (ValueError, OSError) as error:
        return stop(error)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if not options.tables:
        views = [view for view in views if any(entry.status != "pending" for entry in view.in_order())]
    if options.json:
        print(json.dumps(to_json(views), indent=1))
    elif views:
        print(render(views, options.format), end="")
    else:
        first = command("sweep", "table2", *profile_options(options), runs=runs)
        print(f"no results in {runs} yet; begin with {first}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
