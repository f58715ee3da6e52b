"""A small sweep on the test cluster, of every kind of job whose value does not depend on the clock, and what must hold
of it whatever happens on the way: the same table as undisturbed, and no finished work done twice."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from results.digests import content_sha256
from results.progress import JobProgress, TaskProgress, job_folder, read_progress
from tests.jobs.small_set import make_set, make_weights
from tests.slurm.cluster import Cluster

ROOT = Path(__file__).parents[2]
VIDEOS = 12
PROFILE = """
[launch]
executor = "slurm"
partition = "spare"
tasks = 3
mem_gb = 9
time_min = 30
retries = 30
timeouts = 30
[evaluate]
block = 2
batch_size = 4
[train]
precision = "fp32"
nodes = 2
tasks_per_node = 1
batch = 4
micro_batch = 1
epochs = 3
warmup_epochs = 0.5
mixup = 0.0
cutmix = 0.0
short_side = 64
[datasets.set]
labels = "{labels}"
train_labels = "{labels}"
root = "{root}"
num_classes = 16
sampling = "kinetics"
[checkpoints]
"vit_demo/set" = "{weights}"
[pretrained]
"vit_demo/set" = "scratch"
"""
COMMON = 'model = "vit_demo"\ndataset = "set"\n'
TABLES = {
    "accuracy": COMMON
    + 'metric = "top1"\n[rows]\nreduction = ["none", "sta:r=12", "sta:r=20", "random:r=12"]\n'
    + '[columns]\nviews = ["1x1", "2x3"]\n',
    "cost": 'metric = "gflops"\n[rows]\nreduction = ["sta:r=12"]\n[columns]\nmodel = ["vit_demo"]\n',
    "training": COMMON
    + 'metric = "top1_trained"\nviews = "2x3"\n[rows]\nreduction = ["sta:r=12"]\n[columns]\nmodel = ["vit_demo"]\n',
}


class Sweep:
    """The sweep of all tables in a runs folder of its own; its inputs, the same for all, are made once in `folder`."""

    def __init__(self, cluster: Cluster, folder: Path, name: str) -> None:
        self.cluster, self.folder, self.runs = cluster, folder, folder / name
        self.profile = folder / "profile.toml"
        if not self.profile.exists():
            labels = make_set(folder / "data", VIDEOS, frames=60)
            weights = make_weights(folder / "demo.safetensors")
            for table, text in TABLES.items():
                (folder / f"{table}.toml").write_text(text)
            self.profile.write_text(PROFILE.format(labels=labels, root=labels.parent, weights=weights))
        self.driver: subprocess.Popen[bytes] | None = None
        self.blocks: dict[Path, tuple[int, int]] = {}

    def start(self, *options: str) -> None:
        """Start a driver, as a user would; what it prints goes to a file beside the runs folder."""
        with open(self.folder / f"{self.runs.name}.log", "ab") as log:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "harness.sweep", *self._arguments(), *options],
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=ROOT,
                start_new_session=True,
            )

    def kill_driver(self) -> None:
        """Kill it as an administrator tidying a login node would."""
        assert self.driver
        self.driver.kill()
        self.driver.wait()

    def end(self, timeout_s: float = 400) -> int:
        """Wait for the driver; its exit code."""
        assert self.driver
        until = time.monotonic() + timeout_s
        while self.driver.poll() is None:
            self.look()
            if time.monotonic() > until:
                raise TimeoutError(f"the sweep has not ended within {timeout_s:.0f} s: {self.said()}")
            time.sleep(0.2)
        self.look()
        return self.driver.returncode

    def said(self) -> str:
        """What the drivers have printed."""
        return (self.folder / f"{self.runs.name}.log").read_text(errors="replace")

    def look(self) -> None:
        """Check that no finished block of scores has been made again since the last look."""
        for path in self.runs.glob("jobs/*/**/blocks/*.npz"):
            found = path.stat()
            before = self.blocks.setdefault(path, (found.st_ino, found.st_mtime_ns))
            assert before == (found.st_ino, found.st_mtime_ns), f"{path} was made twice"

    def values(self) -> dict[tuple[str, str, str], tuple[float | None, str]]:
        """Value and status of every cell, as `harness.report` gives them."""
        command = [sys.executable, "-m", "harness.report", *self._arguments(), "--json"]
        done = subprocess.run(command, env=self._environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        cells: list[dict[str, Any]] = json.loads(done.stdout)
        return {(one["table"], one["row"], one["column"]): (one["value"], one["status"]) for one in cells}

    def outcome(self) -> dict[str, Any]:
        """All that must be the same whatever happens: the tables, every video's scores, trained weights to the bit."""
        digests = {}
        for job in self.jobs():
            folder = job_folder(self.runs, job.id)
            files = [*folder.rglob("videos.csv"), *folder.glob("weights.safetensors")]
            digests |= {f"{job.id} {path.name}": content_sha256([path], self.folder) for path in files}
        return {"tables": self.values(), "files": digests}

    def jobs(self) -> list[JobProgress]:
        """The jobs as their files tell."""
        return read_progress(self.runs)

    def running(self) -> list[tuple[JobProgress, TaskProgress]]:
        """Every task that runs now, with its job."""
        return [(job, task) for job in self.jobs() for task in job.tasks if task.state == "running"]

    def ids(self, *states: str) -> list[str]:
        """SLURM's ids of what this sweep has in the queue, in one of `states`."""
        known = self.cluster.jobs()
        mine = {entry.id for job in self.jobs() for entry in job.entries.values()}
        return sorted(one for one, state in known.items() if one in mine and state in states)

    def _arguments(self) -> list[str]:
        tables = [str(self.folder / f"{table}.toml") for table in TABLES]
        return [*tables, "--profile", str(self.profile), "--runs", str(self.runs)]

    @property
    def _environment(self) -> dict[str, str]:
        return self.cluster.environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def undisturbed(cluster: Cluster, folder: Path) -> dict[str, Any]:
    """What comes of a sweep that nothing happens to."""
    sweep = Sweep(cluster, folder, "undisturbed")
    sweep.start()
    code = sweep.end()
    assert code == 0, sweep.said()
    outcome = sweep.outcome()
    assert {status for _, status in outcome["tables"].values()} == {"done"}
    return outcome
