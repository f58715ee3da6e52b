"""One command that checks and measures on a GPU all that matters, in order of worth, within some minutes.

    python -m benchmarks.gpu [--minutes 8] [--out FOLDER] [--device cpu --small] [--parts PART …]

Each part has a share of the time and a process of its own: one that fails, or is stopped when its time is over, is
reported with what it had measured, and the next begins. FOLDER gets page.md and results.json, written anew after each
part. `--device cpu --small` rehearses every line without a GPU.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.gpu import RUNS, SHARES
from benchmarks.gpu.page import page

COMMAND = sys.executable, "-m", "benchmarks.gpu.part"
GRACE = 30.0
"""Seconds that a part may take beyond its share, to end a measurement that it has begun, before it is stopped."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="to take in all (8)")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), metavar="FOLDER")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="small models and few rounds, to rehearse")
    named = ", ".join(SHARES)
    parser.add_argument("--parts", nargs="+", choices=SHARES, default=list(SHARES), metavar="PART", help=named)
    options = parser.parse_args(arguments)
    from benchmarks.gpu.machine import machine, usable

    if options.device == "cuda" and not usable():
        parser.error("there is no GPU here that PyTorch can use; --device cpu --small rehearses without one")
    if not options.minutes > 0:
        parser.error(f"--minutes must be more than 0, not {options.minutes:g}")
    parts, folder = list(dict.fromkeys(options.parts)), options.out.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out {options.out}: {error.strerror}")
    content: dict[str, Any] = {"machine": machine(options.device), "small": options.small, "parts": {}}
    end, shares, failed = time.monotonic() + 60 * options.minutes, sum(SHARES[name] for name in parts), 0
    for name in parts:
        left = max(end - time.monotonic(), GRACE)
        part = run_part(name, options.device, options.small, folder, left * SHARES[name] / shares)
        shares -= SHARES[name]
        wrong = part["error"] or any("WRONG" in note for one in part["results"] for note in one["notes"])
        failed += bool(wrong)
        content["parts"][name] = part
        (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n")
        (folder / "page.md").write_text(page(content))
        print(f"{name}: {'failed' if wrong else 'done'} in {part['seconds']:.0f} s", flush=True)
    print((folder / "page.md").read_text())
    return 1 if failed else 0


def run_part(name: str, device: str, small: bool, folder: Path, seconds: float) -> dict[str, Any]:
    """A part in a process of its own, stopped with all that it began where it does not end in time."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        file = Path(place) / "results.json"
        command = [*COMMAND, name, device, place, str(file), str(began + seconds)]
        seen = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
        process = subprocess.Popen(command + ["--small"] * small, env=os.environ | seen, start_new_session=True)
        error = ""
        try:
            process.wait(seconds + GRACE)
        except subprocess.TimeoutExpired:
            error = f"stopped after {seconds + GRACE:.0f} s, without an end"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if (records := Path(place) / RUNS / "records").exists():
            shutil.copytree(records, folder / "records", dirs_exist_ok=True)
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"error": "", "results": []}
        if not found["error"] and process.returncode:
            found["error"] = error or f"its process ended with {process.returncode}"
    return found | {"seconds": time.monotonic() - began}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part ends too
    sys.exit(main())
