"""One part of `python -m benchmarks.gpu`, in a process of its own, with which a fault of the GPU ends."""

import argparse
import sys
import traceback
from importlib import import_module
from pathlib import Path

from benchmarks.gpu import SHARES
from benchmarks.gpu.place import Place


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.part", description=__doc__)
    parser.add_argument("name", choices=SHARES)
    parser.add_argument("device", choices=("cuda", "cpu"))
    parser.add_argument("folder", type=Path, help="for its files")
    parser.add_argument("file", type=Path, help="for its results")
    parser.add_argument("until", type=float, help="when to end, by the clock of time.monotonic")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(arguments)
    place = Place(options.device, options.small, options.folder, options.file, options.until)
    try:
        module = options.name.replace(" ", "_")
        import_module(f"benchmarks.gpu.{module}").run(place)
    except Exception as found:
        traceback.print_exc()
        place.error = f"{type(found).__name__}: {found}"
    place.keep()
    return 1 if place.error else 0


if __name__ == "__main__":
    sys.exit(main())
