"""A grid that costs next to nothing, and the commands run on it as a user does."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness import report
from results.progress import read_progress
from results.records import read_records
from tests.harness.made import make_grid, make_profile

GRID = ["none", "random:r=12"]


class Place:
    """A grid of two cells that cost next to nothing, a profile, and the commands run on them."""

    def __init__(self, folder: Path, **launch: Any) -> None:
        self.folder = folder
        self.profile = make_profile(folder, **launch)
        self.grid = make_grid(folder / "grid.toml", GRID, ["vit_demo"])
        self.runs = folder / "runs"

    def arguments(self, *options: str) -> list[str]:
        return [str(self.grid), "--profile", str(self.profile), "--runs", str(self.runs), *options]

    def sweep(self, *options: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "harness.sweep", *self.arguments(*options)]
        return subprocess.run(command, capture_output=True, text=True, timeout=240)

    def cells(self, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert report.main(self.arguments("--json")) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return found

    def wait_until_done(self) -> None:
        deadline = time.monotonic() + 120
        while len(read_records(self.runs)[0]) < len(GRID):
            assert time.monotonic() < deadline, [job.error for job in read_progress(self.runs)]
            time.sleep(0.1)
