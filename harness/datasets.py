"""python -m harness.datasets check LIST: what a list of videos is taken for, and which videos there are."""

import argparse
import statistics
import sys
from collections import Counter
from pathlib import Path

from harness.arguments import Parser, run, stop, whole_number
from harness.planning.text import plural
from jobs.data.classes import read_classes
from jobs.data.labels import Item, number_of_classes, read_labels, what_it_is
from jobs.data.lists import hmdb51
from jobs.data.survey import Survey, survey
from results.files import replacing

SAMPLE = 200
"""Videos that are looked into, unless all are asked for."""
NAMED = 3
"""Videos that are named before "and n more"."""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m harness.datasets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="check|convert")
    check = commands.add_parser("check", help="say what a list is, and look at its videos")
    check.add_argument("--all", action="store_true", help=f"look into all videos, not {SAMPLE} of them")
    convert = commands.add_parser("convert", help="write a list as path and number, a line each")
    convert.add_argument("--to", required=True, metavar="FILE", help="where to write it; must not be there yet")
    convert.add_argument("--from-1", action="store_true", help="the list counts classes from 1: subtract 1 from each")
    convert.add_argument("--split", type=whole_number, metavar="N", help="of HMDB51's split lists, which")
    convert.add_argument("--train", action="store_true", help="of HMDB51 the training videos, not the test videos")
    for command in (check, convert):
        command.add_argument("list", metavar="LIST", help="a list of videos, or, to convert, HMDB51's folder of lists")
        command.add_argument(
            "--root", default=".", metavar="DIR", help="folder of its relative paths (the working folder)"
        )
        command.add_argument("--classes", default="", metavar="FILE", help="the names of the classes, in their order")
        command.add_argument("--num-classes", type=whole_number, metavar="N", help="how many (as many as occur)")
    options = parser.parse_args(arguments)
    try:
        return _check(options) if options.command == "check" else _convert(options)
    except (ValueError, OSError) as error:
        return stop(error)


def _check(options: argparse.Namespace) -> int:
    items = _read(options)
    counts = Counter(item.label for item in items)
    few, many = min(counts.values()), max(counts.values())
    each = plural(few, "video") if few == many else f"{few:,} to {many:,} videos"
    print(f"{options.list}: {plural(len(items), 'video')}; taken for {what_it_is(options.list)}")
    print(f"{plural(len(counts), 'class')} occur, numbers {min(counts)} to {max(counts)}, {each} each")
    if min(counts) == 1:
        print("none is 0: if it counts classes from 1, convert it with --from-1")
    found = Survey()
    for found in survey(items, len(items) if options.all else SAMPLE):
        if sys.stderr.isatty() and found.looked % 20 == 0:
            print(f"\r{found.looked} looked into", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    there = len(items) - len(found.missing)
    missing = f"{len(found.missing):,} are not{_names(found.missing)}"
    print(f"in {Path(options.root).absolute()}: {there:,} are there, {missing}")
    if found.looked:
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.kinds.most_common())
        more = "" if found.looked == there else " (--all: into all)"
        print(f"looked into {found.looked:,} of them{more}: {kinds or 'none can be read'}")
    if found.seconds:
        low, middle, high = min(found.seconds), statistics.median(found.seconds), max(found.seconds)
        print(f"{low:.1f} to {high:.1f} s long, median {middle:.1f} s")
    for path, reason in list(found.refused.items())[:NAMED]:
        print(f"not read: {path}: {reason}")
    if len(found.refused) > NAMED:
        print(f"not read: {len(found.refused) - NAMED:,} more")
    return 1 if found.missing or found.refused else 0


def _convert(options: argparse.Namespace) -> int:
    if Path(options.list).is_dir():
        if not options.split:
            raise ValueError(f"{options.list} is a folder; of HMDB51's lists say which split, as --split 1")
        rows, classes = hmdb51(Path(options.list), options.split, options.train)
        lines = [f"{path} {label}" for path, label in rows]
    else:
        items = _read(options, shift=options.from_1)
        lines = [f"{item.path} {item.label}" for item in items]
        classes = len({item.label for item in items})
    target = Path(options.to)
    if target.exists():
        raise ValueError(f"{target} is there already; give another name")
    with replacing(target) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(f"{target}: {plural(len(lines), 'video')} of {plural(classes, 'class')}")
    return 0


def _read(options: argparse.Namespace, shift: bool = False) -> list[Item]:
    classes = len(read_classes(options.classes)) if options.classes else 0
    number = options.num_classes or classes or number_of_classes(options.list, shift)
    return read_labels(options.list, options.root, number, options.classes, from_1=shift)


def _names(paths: list[str]) -> str:
    more = f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
    return f": {', '.join(paths[:NAMED])}{more}" if paths else ""


if __name__ == "__main__":
    sys.exit(run(main))
