"""What the command lines share: options, how a wrong one is answered, and how output is printed."""

import argparse
import io
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from harness.planning.text import RUNS
from harness.profiles import profile_names


class Parser(argparse.ArgumentParser):
    """Answers wrong usage in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add --profile, --set and --runs."""
    names = ", ".join(profile_names())
    parser.add_argument("--profile", metavar="NAME|FILE", help=f"where and how to run: {names}, or a TOML file")
    parser.add_argument(
        "--set", action="append", metavar="KEY=VALUE", help="override a value of the profile by its dotted key"
    )
    parser.add_argument(
        "--plugin",
        action="append",
        metavar="PATH",
        help="a file or folder with methods, models or metrics of yours",
    )
    add_runs(parser)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add --runs."""
    parser.add_argument(
        "--runs", type=_folder, default=RUNS, metavar="DIR", help=f"where records, jobs and logs are kept ({RUNS})"
    )


def profile_options(options: argparse.Namespace) -> list[str]:
    """What was said of the profile, to be said again."""
    named = ["--profile", options.profile] if options.profile else []
    plugins = [part for one in options.plugin or () for part in ("--plugin", one)]
    return named + [part for one in options.set or () for part in ("--set", one)] + plugins


def whole_number(text: str) -> int:
    """A number of at least 1; for argparse."""
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a whole number of at least 1")
    return int(text)


def hours(text: str) -> float:
    """A number above 0; for argparse."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a number of hours above 0")
    return number


def points(text: str) -> float:
    """A change of an accuracy in points, above 0 and at most 100; for argparse."""
    number = _number(text)
    if not 0 < number <= 100:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a number of points, as 0.1")
    return number


def _number(text: str) -> float:
    """0 where it is none."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def stop(error: Exception) -> int:
    """Say in one line what was wrong; the exit code of wrong usage."""
    if isinstance(error, BrokenPipeError):
        raise error
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
    else:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def run(main: Callable[[], int]) -> int:
    """Run a command line; returns its exit code. Whoever reads the output may stop reading (`| head`), and a terminal
    that cannot show a character shows a substitute."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        try:
            code = main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Python flushes once more at its end, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _folder(text: str) -> Path:
    path = Path(text)
    try:
        if path.is_dir() or not path.exists():
            return path
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.strerror}") from None
    raise argparse.ArgumentTypeError(f"{text} is not a folder")
