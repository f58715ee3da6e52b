"""python -m harness.export [TABLE…] --to FILE: the records behind tables in one file, to hand on."""

import sys
from pathlib import Path

from harness.arguments import Parser, add_common, run, stop
from harness.planning.text import plural
from harness.profiles import load_profile
from harness.report import look
from harness.tables import load_tables, table_names
from results.exported import write_exported
from results.records import read_records


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m harness.export", description=__doc__)
    names = ", ".join(table_names())
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"{names}, or a TOML file; all that have results")
    parser.add_argument("--to", required=True, type=Path, metavar="FILE", help="where to write; must not be there yet")
    add_common(parser)
    options = parser.parse_args(arguments)
    try:
        profile = load_profile(options.profile, options.set, options.plugin)
        found = look(load_tables(options.tables or table_names()), profile, options.runs, bool(options.tables))
        shown = {id for view in found.views.values() for entry in view.in_order() for id in entry.records}
        records = [record for record in read_records(options.runs)[0] if record.id in shown]
        if not records:
            raise ValueError(f"{options.runs} has no values of these tables")
        print(f"{options.to}: {plural(write_exported(options.to, records), 'record')} of {', '.join(found.views)}")
    except (ValueError, OSError) as error:
        return stop(error)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
