"""The doctor on a real cluster: what SLURM does not have is told in a line, and a trial runs on its nodes."""

import re
from pathlib import Path

import pytest

from harness import doctor
from harness.checking import packages
from tests.slurm.cluster import Cluster

PROFILE = str(Path(__file__).with_name("laptop.toml"))


@pytest.fixture
def examine(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> "Examine":
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    # What can be imported is the same here as in the other tests of the doctor.
    monkeypatch.setattr(packages, "IMPORT", "import sys\nfor name in sys.argv[1:]: print('imported', name, '1.0')")
    return Examine(tmp_path / "runs", capsys)


class Examine:
    """Runs the doctor of Table 1, whose trainings take two nodes, and gives its exit code and lines."""

    def __init__(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.runs, self.capsys = runs, capsys

    def __call__(self, *settings: str, trial: bool = False) -> tuple[int, list[str]]:
        options = [part for one in settings for part in ("--set", one)] + ["--no-trial"] * (not trial)
        code = doctor.main(["table1", "--profile", PROFILE, "--runs", str(self.runs), *options])
        return code, [re.sub(" +", " ", line) for line in self.capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("launch.partition=gpus", "launch.partition 'gpus' is unknown here; partitions: .*gpu (default)"),
        (
            "launch.time_min=3000",
            "launch.time_min = 3000 is above the 1440 min that partition gpu allows; partitions: .*short 30",
        ),
        ("train.tasks_per_node=16", "train.tasks_per_node × launch.gpus_per_task = 16 is above the 8 GPUs that a node"),
        ("launch.mem_gb=25", "launch.mem_gb = 25 is above the 19.53 GB of memory that a node"),
        ("launch.exclude=node[4-5]", "launch.exclude names node5, which SLURM does not know; nodes: node1, node2"),
        ("launch.account=nobody", "launch.account 'nobody' is none of .*'s; accounts: video"),
    ],
)
def test_what_the_cluster_does_not_have(setting: str, said: str, examine: Examine) -> None:
    code, lines = examine(setting, "launch.gpus_per_task=1", "train.batch=64", "train.micro_batch=2")
    assert code == 1
    wrong = [line for line in lines if line.startswith("wrong")]
    assert len(wrong) == 1
    assert re.match(f"wrong site: profile laptop: {re.escape(said).replace(re.escape('.*'), '.*')}", wrong[0])


def test_a_good_profile_is_tried_on_two_nodes(examine: Examine, cluster: Cluster) -> None:
    before = cluster.jobs().keys()
    code, lines = examine("launch.cpus_per_task=2", "launch.account=video", "launch.qos=long", trial=True)
    assert code == 0
    assert [line for line in lines if not line.startswith("ok ")] == []
    assert "ok site: partition gpu can run what is asked for" in lines
    assert "ok accounting: sacct answers, so the reason why a job ended is known" in lines
    assert sum(line.startswith("ok sbatch: table1") for line in lines) == 2, "timings and trainings, once each"
    hosts = re.search(r"ok trial meeting: two processes on (node\d) and (node\d) added numbers", "\n".join(lines))
    assert hosts
    assert hosts[1] != hosts[2]
    assert len(cluster.jobs().keys() - before) == 1
