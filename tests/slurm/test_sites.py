"""What sites demand, by QOS on the real cluster: a GPU of every job, few jobs at a time, GPUs of a type."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.profiles import load_profile
from harness.running.slurm.refusals import WRONG, Refusal, ask_sbatch
from harness.running.slurm.sbatches import Sbatch, array_parameters, script
from results.progress import read_progress
from tests.slurm.cluster import Cluster
from tests.slurm.sweeping import PROFILE, ROOT

TABLE = '[rows]\nreduction = [{}]\n[columns]\nmodel = ["vit_demo"]\n'
COST = 'metric = "gflops"\n' + TABLE.format('"sta:r=12"')
TIMINGS = 'metric = "clips_per_s"\n' + TABLE.format(", ".join(f'"random:r={r}"' for r in (4, 8, 12, 16, 20)))
ACCURACY = 'dataset = "set"\nviews = "1x1"\nmetric = "top1"\n' + TABLE.format('"none"')


class Site:
    """Commands on one table, in a runs folder of its own."""

    def __init__(self, cluster: Cluster, folder: Path, runs: str = "runs") -> None:
        self.cluster, self.folder, self.runs = cluster, folder, folder / runs
        (folder / "val.txt").write_text("a.mp4 1\n")
        text = PROFILE.format(labels=folder / "val.txt", root=folder, weights="scratch")
        (folder / "profile.toml").write_text(text + "[measure]\nsamples = 5\nbatch_size = 1\nprecision = 'fp32'\n")

    def __call__(
        self, command: str, table: str, *settings: str, options: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        (self.folder / "table.toml").write_text(table)
        profile = ["--profile", str(self.folder / "profile.toml"), "--runs", str(self.runs)]
        profile += [part for one in settings for part in ("--set", one)] + options.split()
        environment = self.cluster.environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        whole = [sys.executable, "-m", f"harness.{command}", str(self.folder / "table.toml"), *profile]
        return subprocess.run(whole, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240)

    def statuses(self, table: str) -> list[str]:
        cells: list[dict[str, Any]] = json.loads(self("report", table, options="--json").stdout)
        return [cell["status"] for cell in cells]


@pytest.mark.parametrize("here", [True, False])
def test_a_partition_that_takes_no_job_without_a_gpu(cluster: Cluster, tmp_path: Path, here: bool) -> None:
    site = Site(cluster, tmp_path)
    done = site("sweep", COST, "launch.qos=gpus", "launch.gpus_per_task=1", f"launch.count_here={str(here).lower()}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.statuses(COST) == ["done"]
    (job,) = read_progress(site.runs)
    assert job.entries[0].executor == ("local" if here else "slurm")


def test_a_task_without_the_gpu_that_is_demanded_is_refused_with_the_key(cluster: Cluster, tmp_path: Path) -> None:
    site = Site(cluster, tmp_path)
    refused = site("doctor", COST, "launch.qos=gpus", "launch.count_here=false", options="--no-trial")
    assert refused.returncode == 1
    assert "QOSMinGRES" in refused.stdout
    assert "see launch.gpus_per_task, launch.count_here, " in refused.stdout
    swept = site("sweep", COST, "launch.qos=gpus", "launch.count_here=false")
    assert swept.returncode == 2
    assert "SLURM would refuse table.vit_demo.sta:r=12.gflops: QOSMinGRES: Job violates" in swept.stderr
    assert "see launch.gpus_per_task, launch.count_here, " in swept.stderr
    assert not read_progress(site.runs)


def test_five_timings_under_a_limit_of_three(cluster: Cluster, tmp_path: Path) -> None:
    site = Site(cluster, tmp_path)
    told = site("doctor", TIMINGS, "launch.qos=few", options="--no-trial")
    assert "would be accepted at once, the rest waits: QOSMaxSubmitJobPerUserLimit" in told.stdout
    done = site("sweep", TIMINGS, "launch.qos=few", "launch.mem_gb=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 tasks wait until fewer are submitted: QOSMaxSubmitJobPerUserLimit: " in done.stdout
    assert "(see launch.qos in the profile)" in done.stdout
    assert site.statuses(TIMINGS) == ["done"] * 5
    assert {entry.attempt for job in read_progress(site.runs) for entry in job.entries.values()} == {1}


def test_a_percent_sign_in_the_path_of_the_runs_folder(cluster: Cluster, tmp_path: Path) -> None:
    site = Site(cluster, tmp_path, "50%run/b%20c")
    done = site("sweep", COST, "launch.count_here=false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.statuses(COST) == ["done"]
    assert list(site.runs.glob("logs/*/*_0_log.out"))


@pytest.mark.parametrize("flag", ["gpus-per-node", "gres"])
@pytest.mark.parametrize(("typed", "taken"), [("", True), ("v100", True), ("a100", False)])
def test_types_of_gpus(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flag: str, typed: str, taken: bool
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    settings = ["launch.executor=slurm", "launch.tasks=1", f"launch.gpu_type={typed}", f"launch.gpu_flag={flag}"]
    parameters = array_parameters(load_profile("demo", settings).launch, alone=False, gpus=2)
    said = ask_sbatch(script(Sbatch("array", (("job", 0),), "typed", parameters), tmp_path))
    assert isinstance(said, str) == taken, said
    if isinstance(said, Refusal):
        assert said.kind == WRONG
        assert "launch.gpu_type" in said.keys
        site = Site(cluster, tmp_path)
        told = site("doctor", ACCURACY, f"launch.gpu_type={typed}", "launch.gpus_per_task=1", options="--no-trial")
        assert "launch.gpu_type = 'a100': partition spare has GPUs of type: v100" in told.stdout
