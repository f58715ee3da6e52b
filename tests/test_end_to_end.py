"""The two commands as a user runs them, on real video files: undisturbed, killed at any moment, and with bad videos."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.running.processes import processes
from tests.bad_videos import make_bad_videos
from tests.jobs.small_set import make_profile, make_set, make_weights

TABLE = """
title = "Small table"
model = "vit_large"
dataset = "k400"
metric = "top1"
[rows]
views = ["2x2", "5x1", "8x1"]
[columns]
reduction = ["none", "sta:r=48", "sta:r=80"]
"""


class Place:
    """A folder with videos, weights, a profile and a table, and the commands run on it."""

    def __init__(self, folder: Path, **profile: Any) -> None:
        self.labels = make_set(folder / "data", videos=7, frames=66)
        weights = make_weights(folder / "demo.safetensors")
        self.profile = make_profile(folder / "profile.toml", self.labels, weights, **profile)
        self.table = folder / "small.toml"
        self.table.write_text(TABLE)

    def sweep(self, runs: Path, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "harness.sweep", *self._common(runs), *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, runs: Path, *options: str) -> str:
        with self.sweep(runs, *options) as process:
            try:
                output = process.communicate(timeout=240)[0]
            finally:
                process.kill()
        assert process.returncode == 0, output
        return output

    def report(self, runs: Path, *options: str) -> str:
        command = [sys.executable, "-m", "harness.report", *self._common(runs), *options]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def values(self, runs: Path) -> dict[tuple[str, str], float]:
        cells = json.loads(self.report(runs, "--json"))
        return {(cell["row"], cell["column"]): cell["value"] for cell in cells}

    def _common(self, runs: Path) -> list[str]:
        return [str(self.table), "--profile", str(self.profile), "--runs", str(runs)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def undisturbed(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("undisturbed")
    place.finish(runs)
    return runs


def test_second_run_has_nothing_to_do(place: Place, undisturbed: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in undisturbed.rglob("*"))
    assert "9 cells, 9 done already; 0 tasks of 0 jobs" in place.finish(undisturbed)
    assert sorted((path, path.stat().st_mtime_ns) for path in undisturbed.rglob("*")) == before


@pytest.mark.parametrize("options", ["launch.tasks=3", "evaluate.block=3"])
def test_other_ways_to_share_the_work_give_the_same_table(
    place: Place, undisturbed: Path, tmp_path: Path, options: str
) -> None:
    place.finish(tmp_path, "--set", options)
    assert place.values(tmp_path) == place.values(undisturbed)


def test_a_job_for_each_cell_gives_the_same_values(
    place: Place, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tmp_path / "few.toml"  # cells, as each takes a job
    few.write_text(TABLE.replace(', "8x1"', "").replace(', "sta:r=80"', ""))
    monkeypatch.setattr(place, "table", few)
    assert "4 cells, 0 done already; 8 tasks of 4 jobs" in place.finish(tmp_path / "runs", "--no-fuse")
    alone = place.values(tmp_path / "runs")
    assert len(alone) == 4
    monkeypatch.undo()
    assert alone.items() <= place.values(undisturbed).items()


def test_killed_at_any_moment_the_same_command_goes_on(place: Place, undisturbed: Path, tmp_path: Path) -> None:
    seed = int(os.environ.get("HARNESS_TEST_SEED", random.randrange(10**6)))
    print(f"HARNESS_TEST_SEED={seed}")
    chance = random.Random(seed)
    finished: dict[Path, int] = {}
    for attempt in range(4):
        driver = place.sweep(tmp_path)
        time.sleep(chance.uniform(0.2, 9.0))
        victims = [driver.pid] if attempt % 2 else []
        victims += [chance.choice(workers)] if (workers := _workers(tmp_path)) and attempt != 1 else []
        for victim in victims:
            _kill(victim)
        if not attempt % 2:
            driver.communicate(timeout=240)
        now = _blocks(tmp_path)
        assert finished.items() <= now.items(), "a finished block was made again"
        finished = now
    place.finish(tmp_path)
    assert place.values(tmp_path) == place.values(undisturbed)
    now = _blocks(tmp_path)
    assert finished.items() <= now.items()
    assert len(list((tmp_path / "jobs").iterdir())) == 1


def test_nothing_survives_a_killed_worker(place: Place, tmp_path: Path) -> None:
    driver = place.sweep(tmp_path, "--set", "launch.retries=0")
    deadline = time.monotonic() + 120
    children: list[psutil.Process] = []
    while not any("jobs.data" in " ".join(command) for command in map(_command, children)):
        assert time.monotonic() < deadline, "no worker started a decoder"
        time.sleep(0.05)
        workers = _workers(tmp_path)
        children = [child for pid in workers for child in _children(pid)]
    for pid in workers:
        _kill(pid)
    driver.communicate(timeout=60)
    assert driver.returncode == 1
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_ten_kinds_of_bad_video_cost_only_themselves(undisturbed: Path, tmp_path: Path) -> None:
    place = Place(tmp_path, tolerance=0.6)  # the videos and weights of the other, and bad ones
    bad = make_bad_videos(place.labels.parent / "bad")
    assert len(bad) == 10
    good = place.labels.read_text().splitlines()
    listing = [f"{path.relative_to(place.labels.parent)} 3" for path in bad.values()]
    mixed = [line for pair in zip(good, listing, strict=False) for line in pair] + listing[len(good) :]
    place.labels.write_text("\n".join(mixed) + "\n")
    runs = tmp_path / "runs"
    place.finish(runs)
    cells = json.loads(place.report(runs, "--json"))
    assert {cell["status"] for cell in cells} == {"partial"}
    records = [json.loads((runs / "records" / f"{cell['record']}.json").read_text()) for cell in cells]
    for record in records:
        assert record["counts"] == {"evaluated": 7, "listed": 17}
        assert {item["video"] for item in record["skipped"]} == {line.rpartition(" ")[0] for line in listing}
        assert all(item["reason"] for item in record["skipped"])
        assert record["value"] == 100 * record["samples"]["correct"] / 7
    text = place.report(runs)
    assert "10 videos could not be read" in text
    for path in bad.values():
        assert path.name in text
    assert place.values(undisturbed) == place.values(runs)


@pytest.mark.parametrize("left", [0, 4], ids=["before the first record", "among the records"])
def test_killed_after_the_last_block_only_the_records_are_made_again(
    place: Place, undisturbed: Path, tmp_path: Path, left: int
) -> None:
    runs = tmp_path / "runs"
    _wait_until_gone(undisturbed)
    shutil.copytree(undisturbed, runs)
    for path in sorted(runs.glob("records/*.json"))[left:]:
        path.unlink()
    marks = list(runs.glob("jobs/*/progress-*.json"))
    assert len(marks) == 2
    # One task had done its part; the other was killed while it added up: it says that it runs, and its process is gone.
    content = json.loads(marks[0].read_text())
    marks[0].write_text(json.dumps(content | {"state": "running", "pid_created": 1.0}))
    for path in runs.glob("jobs/*/videos.csv"):
        path.unlink()
    before = _blocks(runs)
    kept = {path: path.stat().st_mtime_ns for path in runs.glob("records/*.json")}
    assert len(kept) == left
    assert f"9 cells, {left} done already; 2 tasks of 1 job" in place.finish(runs)
    assert place.values(runs) == place.values(undisturbed)
    assert _blocks(runs) == before
    assert kept.items() <= {path: path.stat().st_mtime_ns for path in runs.glob("records/*.json")}.items()


def test_killed_as_soon_as_the_last_block_is_there(place: Place, undisturbed: Path, tmp_path: Path) -> None:
    blocks = len(_blocks(undisturbed))
    deadline = time.monotonic() + 240
    with place.sweep(tmp_path) as driver:
        while len(before := _blocks(tmp_path)) < blocks:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        for pid in [driver.pid, *_workers(tmp_path)]:
            _kill(pid)
    _wait_until_gone(tmp_path)
    place.finish(tmp_path)
    assert place.values(tmp_path) == place.values(undisturbed)
    assert _blocks(tmp_path) == before


def _blocks(runs: Path) -> dict[Path, int]:
    """The finished blocks, with when they were made."""
    return {path: path.stat().st_mtime_ns for path in runs.glob("jobs/*/blocks/*.npz")}


def _wait_until_gone(runs: Path) -> None:
    """Wait for the processes that started the tasks: each looks only now and then whether its task has ended."""
    deadline = time.monotonic() + 60
    while processes(runs):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _workers(runs: Path) -> list[int]:
    """The processes that run tasks now, by their own word."""
    found = []
    for path in runs.glob("jobs/*/progress-*.json"):
        content = json.loads(path.read_text())
        if content["state"] == "running" and psutil.pid_exists(content["pid"]):
            found.append(content["pid"])
    return found


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
