"""Whether the runs folder can be used: written to, by whom, hard links, its clock and its space."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness.running import launch
from harness.running.findings import Finding, ok, warning, wrong
from results.files import write_json_once

CLOCK_S = 5.0
"""By how much the clocks of this machine and of the file system may differ."""
LOW = 2 * 2**30
"""Bytes below which a disk counts as full."""


def check_runs_folder(runs: Path, needed: int) -> Iterator[Finding]:
    """The runs folder: who may write there, whether links can be made, its clock and its space, of which about `needed`
    bytes will be taken."""
    try:
        launch.check_runs(runs)
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=runs) as folder:
            now = time.time()
            write_json_once(Path(folder) / "written.json", {})
            ahead = (Path(folder) / "written.json").stat().st_mtime - now
            try:
                os.link(Path(folder) / "written.json", Path(folder) / "linked.json")
                links = ok("links", "records are written by hard links, which the runs folder has")
            except OSError as error:
                weaker = "if two drivers write the same record at the same moment, the second may overwrite the first"
                links = warning("links", f"the runs folder has no hard links ({error.strerror}): {weaker}")
        free = shutil.disk_usage(runs).free
    except (ValueError, OSError) as error:
        yield wrong("runs folder", str(error))
        return
    yield ok("runs folder", f"{runs} can be written to")
    yield links
    if abs(ahead) > CLOCK_S:
        way = "ahead of" if ahead > 0 else "behind"
        yield warning("clock", f"the file system is {abs(ahead):.0f} s {way} this machine: synchronise its clock (NTP)")
    else:
        yield ok("clock", f"that of the file system is within {CLOCK_S:g} s of this machine's")
    space = f"{free / 2**30:,.1f} GiB are free in the runs folder, and the tables take about {needed / 2**30:,.1f} GiB"
    yield (warning if free < needed + LOW else ok)("disk", space)
