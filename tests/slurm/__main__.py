"""`python -m tests.slurm up|down`: a SLURM cluster of four nodes on this machine, to try things on."""

import argparse
import sys
from pathlib import Path

from harness.arguments import Parser, run, stop
from tests.slurm.cluster import FOLDER, Cluster


def main() -> int:
    parser = Parser(prog="python -m tests.slurm", description="A SLURM cluster of four nodes on this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down")
    _add(commands, "up", "bring it up, and say how to use it").add_argument(
        "--no-accounting", action="store_true", help="without slurmdbd and its database: sacct says nothing"
    )
    _add(commands, "down", "end it with all its jobs, and leave nothing of it")
    options = parser.parse_args()
    try:
        cluster = Cluster(options.dir)
        if options.command == "up":
            if not cluster.up(accounting=not options.no_accounting):
                print("it is up already", file=sys.stderr)
            print(f"export SLURM_CONF={cluster.conf}")
        elif not cluster.down():
            print(f"there is no cluster in {cluster.folder}", file=sys.stderr)
    except (ValueError, OSError) as error:
        return stop(error)
    return 0


def _add(commands: "argparse._SubParsersAction[Parser]", name: str, text: str) -> Parser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--dir", type=Path, default=FOLDER, metavar="DIR", help=f"where all of it is kept ({FOLDER})")
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
