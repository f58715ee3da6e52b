"""That the test cluster behaves as one: what the harness's own tests on it take for granted."""

import subprocess
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.daemons import processes
from tests.slurm.hosts import HOSTS


def submit(cluster: Cluster, tmp_path: Path, command: str, *options: str) -> str:
    output = f"--output={tmp_path}/%j.out"
    return cluster.run("sbatch", "--parsable", "--open-mode=append", output, *options, f"--wrap={command}").strip()


def test_all_four_nodes_are_up(cluster: Cluster) -> None:
    states = cluster.run("sinfo", "--noheader", "--partition=gpu", "--Node", "--format=%N %T").splitlines()
    nodes, now = zip(*(line.split() for line in states), strict=True)
    assert nodes == ("node1", "node2", "node3", "node4")
    assert set(now) <= {"idle", "mixed", "allocated", "completing"}


def test_a_job_is_told_its_gpus(cluster: Cluster) -> None:
    shown = cluster.run("srun", "--nodes=1", "--gpus-per-node=8", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES")
    assert shown.strip() == "0,1,2,3,4,5,6,7"


def test_32_tasks_on_four_nodes_answer(cluster: Cluster) -> None:
    options = ["--nodes=4", "--ntasks-per-node=8", "--gpus-per-node=8"]
    shown = cluster.run("srun", *options, "sh", "-c", "echo $SLURM_PROCID $SLURMD_NODENAME").splitlines()
    assert {int(line.split()[0]) for line in shown} == set(range(32))
    assert {line.split()[1] for line in shown} == {"node1", "node2", "node3", "node4"}


def test_the_tasks_of_an_array_share_a_node(cluster: Cluster, tmp_path: Path) -> None:
    job = submit(cluster, tmp_path, "echo $SLURMD_NODENAME; sleep 1", "--array=0-5", "--nodelist=node4")
    for task in range(6):
        cluster.wait_for(f"{job}_{task}", "COMPLETED")
    starts = cluster.run("squeue", "--states=all", "--array", "--noheader", f"--jobs={job}", "--format=%S").split()
    assert len(starts) == 6
    assert len(set(starts)) <= 2  # one after the other they would be seconds apart


def test_sacct_and_squeue_know_a_finished_job(cluster: Cluster, tmp_path: Path) -> None:
    job = submit(cluster, tmp_path, "exit 3", "--account=video", "--qos=long")
    cluster.wait_for(job, "FAILED")
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=State,ExitCode,Account,QOS", "-j", job]
    # The database hears of it a moment later.
    for _ in range(20):
        if (shown := cluster.run(*command).strip()) == "FAILED|3:0|video|long":
            break
        cluster.run("sleep", "0.5")
    assert shown == "FAILED|3:0|video|long"


def test_an_account_or_a_qos_that_is_not_there_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    for option in ("--account=nobody", "--qos=none", "--partition=none"):
        with pytest.raises(OSError, match="sbatch: error"):
            submit(cluster, tmp_path, "true", option)


def test_a_job_in_spare_gives_way_and_runs_again(cluster: Cluster, tmp_path: Path) -> None:
    grace = cluster.run("scontrol", "show", "partition", "spare").partition("GraceTime=")[2].split()[0]
    whole = ["--nodelist=node3", "--exclusive"]
    cluster.run("scontrol", "update", "PartitionName=spare", "GraceTime=0")
    try:
        low = submit(cluster, tmp_path, "echo start $SLURM_RESTART_COUNT; sleep 60", "--partition=spare", *whole)
        cluster.wait_for(low, "RUNNING")
        high = submit(cluster, tmp_path, "true", *whole)
        cluster.wait_for(high, "COMPLETED")
        cluster.wait_for(low, "RUNNING")
    finally:
        cluster.run("scontrol", "update", "PartitionName=spare", f"GraceTime={grace}")
    cluster.run("scancel", low)
    cluster.wait_for(low, "CANCELLED")
    assert "Restarts=1" in cluster.run("scontrol", "show", "job", low)
    starts = [line for line in (tmp_path / f"{low}.out").read_text().splitlines() if line.startswith("start")]
    assert starts == ["start", "start 1"]


def test_slurmctld_keeps_its_queue_when_it_is_restarted(cluster: Cluster, tmp_path: Path) -> None:
    running = submit(cluster, tmp_path, "sleep 60")
    held = submit(cluster, tmp_path, "true", "--hold")
    cluster.wait_for(running, "RUNNING")
    cluster.stop_slurmctld()
    assert not cluster.is_up()
    cluster.start_slurmctld()
    assert {job: cluster.jobs()[job] for job in (running, held)} == {running: "RUNNING", held: "PENDING"}
    cluster.run("scancel", running, held)


def test_a_second_cluster_without_accounting_leaves_nothing(own_folder: Path, tmp_path: Path) -> None:
    second = Cluster(own_folder / "second")
    try:
        assert second.up(accounting=False)
        assert not second.up(accounting=False)
        ended = submit(second, tmp_path, "true")
        second.wait_for(ended, "COMPLETED")
        running = submit(second, tmp_path, "sleep 300 & srun sleep 300")
        second.wait_for(running, "RUNNING")
        assert subprocess.run(["sacct"], env=second.environment, capture_output=True, timeout=60).returncode
        second.kill_slurmd(1)
        assert not second.is_up()
        second.start_slurmd(1)
        assert second.is_up()
        second.kill_node(1)
        assert not processes(second.folder, "node1")
    finally:
        second.down()
    assert not second.folder.exists()
    assert not processes(second.folder)
    assert str(second.folder) not in HOSTS.read_text()
