"""python -m harness.import FILE: add the records of an exported file to a runs folder, marked as from it."""

import sys
from pathlib import Path

from harness.arguments import Parser, add_runs, run, stop
from harness.planning.text import plural
from results.exported import import_records


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m harness.import", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="written by python -m harness.export")
    add_runs(parser)
    options = parser.parse_args(arguments)
    try:
        new, old = import_records(options.file, options.runs)
    except (ValueError, OSError) as error:
        return stop(error)
    print(f"{options.runs}: {plural(new, 'record')} added, {old} there already")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
