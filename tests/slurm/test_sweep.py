"""Sweeps on the real cluster: the numbers of this machine, whatever fails on the way."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.faults import Faults, go_through
from tests.slurm.sweeping import Sweep, undisturbed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweeps")


@pytest.fixture(scope="module")
def expected(cluster: Cluster, folder: Path) -> dict[str, Any]:
    return undisturbed(cluster, folder)


def test_arrays_and_gangs_give_the_numbers_of_this_machine(
    cluster: Cluster, folder: Path, expected: dict[str, Any]
) -> None:
    evaluation, training = (
        next(job for job in Sweep(cluster, folder, "undisturbed").jobs() if job.job["kind"] == kind)
        for kind in ("evaluate", "train")
    )
    assert len({task.node for task in evaluation.tasks}) > 1
    assert len({task.node for task in training.tasks}) == 2
    local = Sweep(cluster, folder, "local")
    local.start("--set", "launch.executor=local", "--set", "train.nodes=1", "--set", "train.tasks_per_node=2")
    assert local.end() == 0, local.said()
    here = local.outcome()
    assert here["tables"] == expected["tables"]
    assert sorted(here["files"].values()) == sorted(expected["files"].values()), "scores or weights differ"


def test_faults_change_nothing(cluster: Cluster, folder: Path, expected: dict[str, Any]) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    kinds = (Faults.driver_killed, Faults.task_killed, Faults.slurmctld_restarted)
    assert go_through(cluster, folder, 3, random.Random(seed), kinds, expected) == 3
