"""One command that checks and measures on a GPU all that matters, in order of worth, within some minutes.

    python -m benchmarks.gpu [--minutes 8] [--out FOLDER] [--device cpu --small]

Each part has a share of the time and stands alone: one that fails is reported, and the next begins. FOLDER gets
page.md and results.json, written anew after each part. `--device cpu --small` rehearses every line without a GPU.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.gpu import commands, correctness, decoding, forward, training
from benchmarks.gpu.machine import machine
from benchmarks.gpu.page import page
from benchmarks.gpu.place import Place, Result

PARTS: dict[str, tuple[Callable[[Place], list[Result]], float]] = {
    "correctness": (correctness.run, 0.15),
    "forward": (forward.run, 0.35),
    "training": (training.run, 0.15),
    "end to end": (decoding.run, 0.15),
    "commands": (commands.run, 0.2),
}
"""By name, with their shares of the time."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="to take in all (8)")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), metavar="FOLDER")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="small models and few rounds, to rehearse")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="these alone")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here that PyTorch can use; --device cpu --small rehearses without one")
    folder: Path = options.out.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    where, done, failed = machine(options.device), {}, 0
    left = 60 * options.minutes
    shares = sum(PARTS[name][1] for name in options.parts)
    for name in options.parts:
        run, share = PARTS[name]
        place = Place(options.device, options.small, folder, time.monotonic() + left * share / shares)
        shares -= share
        began, error, results = time.monotonic(), "", []
        try:
            results = run(place)
        except Exception as found:
            error = f"{type(found).__name__}: {found}"
            traceback.print_exc()
        seconds = time.monotonic() - began
        left = max(left - seconds, 30.0)
        wrong = error or any("WRONG" in note for one in results for note in one.notes)
        failed += bool(wrong)
        done[name] = {"seconds": seconds, "error": error, "results": [vars(one) for one in results]}
        content = {"machine": where, "small": options.small, "parts": done}
        (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n")
        (folder / "page.md").write_text(page(content))
        print(f"{name}: {'failed' if wrong else 'done'} in {seconds:.0f} s", flush=True)
    print((folder / "page.md").read_text())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
