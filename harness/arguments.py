"""What the command lines share: options, and how a wrong one is answered."""

import argparse
import sys
from pathlib import Path

from harness.profiles import profile_names


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add --profile, --set and --runs."""
    names = ", ".join(profile_names())
    parser.add_argument("--profile", metavar="NAME|FILE", help=f"where and how to run: {names}, or a TOML file")
    parser.add_argument(
        "--set", action="append", metavar="KEY=VALUE", help="override a value of the profile by its dotted key"
    )
    add_runs(parser)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add --runs."""
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="where records, jobs and logs are kept (runs)"
    )


def whole_number(text: str) -> int:
    """A number of at least 1; for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def stop(error: Exception) -> int:
    """Say in one line what was wrong; the exit code of wrong usage."""
    print(f"error: {error}", file=sys.stderr)
    return 2
