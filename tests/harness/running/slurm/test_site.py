"""What is asked of SLURM against what sinfo and sacctmgr of several sites print: one line that names key, value and
choices, before anything is queued."""

import dataclasses
from pathlib import Path

import pytest

from harness.profiles import load_profile
from harness.running.slurm.sinfo import expand, minutes, read_partitions
from harness.running.slurm.site import check_site
from jobs.spec.cells import Cell
from jobs.spec.jobs import Train
from tests.harness.conftest import Slurm
from tests.harness.made import make_planner, make_profile

PLAIN = """\
gpu*|up|1-00:00:00|1-infinite|16|20000|gpu:v100:8|idle|node1|v100,ib
gpu*|up|1-00:00:00|1-infinite|16|20000|gpu:v100:8|mixed-|node2|v100,ib
gpu*|up|1-00:00:00|1-infinite|16|20000|gpu:v100:8|allocated+|node3|v100
gpu*|up|1-00:00:00|1-infinite|16|20000|gpu:v100:8|drained|node4|v100
short|up|30:00|1-2|16|20000|gpu:v100:8|idle|node1|v100,ib
cpu|up|infinite|1-infinite|128|250000|(null)|idle|fat1|(null)
"""
MIXED = """\
CLUSTER: north
main|up|7-00:00:00|1-infinite|128|1031000+|gpu:a100:4(S:0-1),nvme:1|idle*|gn01|a100
main|up|7-00:00:00|1-infinite|128|1031000|gpu:a100:4(S:0,2),mps:400|mixed|gn02|a100
main|up|7-00:00:00|1-infinite|192|257000|(null)|idle~|cn01|icelake,[odd]
mig|up|UNLIMITED|1-8|96|500000|gpu:a100_1g.5gb:14(S:0-1),gpu:1080:2,gpu:tesla|planned|mn01|x=1|y
old|down|n/a|0|64|128000|craynetwork:4,gpu|inval|on01|
none|up|infinite|1-infinite|0|0|(null)|n/a||(null)
"""


def check(tmp_path: Path, *overrides: str, train: str = "", nodes: int = 1) -> list[str]:
    """What is said by the check of one task a node, or with `train` of a gang of so many processes a node."""
    profile = load_profile(str(make_profile(tmp_path, executor="slurm", tasks=2)), list(overrides))
    gangs = []
    if train:
        planner = make_planner(tmp_path, overrides=overrides, executor="slurm", tasks=2)
        job = planner.job([Cell("vit_demo", "none", "motion", "", "train_hours")])
        assert isinstance(job, Train)
        gangs = [dataclasses.replace(job, nodes=nodes, tasks_per_node=int(train))]
    found = check_site(profile, gangs)
    unchecked = [finding.state == "unknown" for finding in found]
    assert unchecked == ["was not checked" in finding.text or "were not checked" in finding.text for finding in found]
    return [finding.text for finding in found]


def test_what_sites_print_is_understood(slurm: Slurm) -> None:
    slurm.put("sinfo", MIXED)
    found = read_partitions()
    assert list(found) == ["main", "mig", "old", "none"]
    assert [node.gpus for node in found["main"].nodes] == [4, 4, 0]
    assert [node.up for node in found["main"].nodes] == [False, True, True]
    assert found["main"].nodes[0].memory_mb == 1031000
    assert found["mig"].nodes[0].gpus == 17
    assert found["mig"].nodes[0].features == {"x=1|y"}
    assert (found["mig"].minutes, found["mig"].most_nodes) == (float("inf"), 8)
    assert (found["old"].nodes[0].gpus, found["old"].nodes[0].up) == (1, False)
    assert found["none"].nodes == []
    slurm.put("sinfo", PLAIN)
    found = read_partitions()
    assert [name for name, one in found.items() if one.default] == ["gpu"]
    assert [node.up for node in found["gpu"].nodes] == [True, True, True, False]
    assert found["cpu"].nodes[0].features == frozenset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30:00", 30), ("30:30", 30.5), ("90", 90), ("12:00:00", 720), ("2-00:00:00", 2880), ("1-12:00", 2160)],
)
def test_time_limits(text: str, expected: float) -> None:
    assert minutes(text) == expected


def test_lists_of_nodes() -> None:
    assert expand("node[1-3],login") == ["node1", "node2", "node3", "login"]
    assert expand("r[1-2]n[08-10,x]") == ["r1n08", "r1n09", "r1n10", "r1nx", "r2n08", "r2n09", "r2n10", "r2nx"]
    assert expand("") == []


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("launch.partition=gpu", "launch.constraint=v100&ib", "launch.exclude=node[3-4]"),
        ("launch.gpus_per_task=1", "launch.cpus_per_task=16", "launch.mem_gb=19"),
        ("launch.constraint=[v100*2&ib*1]", "launch.exclude=/home/me/nodes"),
        ("launch.constraint=v100|ib&v100",),
    ],
)
def test_what_can_be_had_passes_without_a_word(overrides: tuple[str, ...], tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("sinfo", PLAIN)
    assert check(tmp_path, *overrides) == []


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("launch.partition=gpus",), "launch.partition 'gpus' is unknown here; partitions: gpu (default), short, cpu"),
        (("launch.partition=gpu,long",), "launch.partition 'long' is unknown here; partitions: gpu (default)"),
        (
            ("launch.time_min=3000",),
            "launch.time_min = 3000 is above the 1440 min that partition gpu allows; partitions: cpu no limit, gpu "
            "1440, short 30",
        ),
        (
            ("launch.partition=cpu", "launch.gpus_per_task=1"),
            "launch.gpus_per_task = 1 is above the 0 GPUs that a node of partition cpu has; partitions: gpu 8, short "
            "8, cpu 0",
        ),
        (
            ("launch.cpus_per_task=17",),
            "launch.cpus_per_task = 17 is above the 16 CPUs that a node of partition gpu has; partitions: cpu 128, gpu",
        ),
        (
            ("launch.mem_gb=20", "launch.gpus_per_task=1"),
            "launch.mem_gb = 20 is above the 19.53 GB of memory that a node with 1 GPU of partition gpu has",
        ),
        (
            ("launch.constraint=v100&a100",),
            "launch.constraint asks for 'a100'; the nodes of partition gpu have: ib, v100",
        ),
        (
            ("launch.constraint=ib", "launch.exclude=node[1-2]"),
            "launch.constraint asks for 'ib'; the nodes of partition gpu have: v100",
        ),
        (
            ("launch.exclude=node[4-5]",),
            "launch.exclude names node5, which SLURM does not know; nodes: node1, node2, node3, node4, fat1",
        ),
        (("launch.exclude=node[1-4]",), "launch.exclude = 'node[1-4]' leaves no node of partition gpu"),
    ],
)
def test_what_cannot_be_had_is_told_in_a_line(
    overrides: tuple[str, ...], said: str, tmp_path: Path, slurm: Slurm
) -> None:
    slurm.put("sinfo", PLAIN)
    with pytest.raises(ValueError, match="profile small: ") as caught:
        check(tmp_path, *overrides)
    assert str(caught.value).startswith(f"profile small: {said}")
    assert "\n" not in str(caught.value)


def test_a_constraint_that_no_node_meets_as_a_whole(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("sinfo", PLAIN.replace("node2|v100,ib", "node2|ib").replace("node1|v100,ib", "node1|v100"))
    with pytest.raises(ValueError, match="'v100&ib': no node of partition gpu has all of these"):
        check(tmp_path, "launch.constraint=v100&ib")
    assert check(tmp_path, "launch.constraint=v100|ib") == []


@pytest.mark.parametrize(
    ("each", "nodes", "overrides", "said"),
    [
        (
            "16",
            1,
            ("launch.gpus_per_task=1",),
            "train.tasks_per_node × launch.gpus_per_task = 16 is above the 8 GPUs that a node of partition gpu has; "
            "partitions: gpu 8",
        ),
        (
            "8",
            1,
            ("launch.gpus_per_task=1", "launch.cpus_per_task=5"),
            "train.tasks_per_node × launch.cpus_per_task = 40 is above the 16 CPUs that a node with 8 GPUs of "
            "partition gpu has",
        ),
        ("2", 8, (), "train.nodes = 8 is above the 4 nodes with what is asked for in partition gpu"),
        ("2", 4, ("launch.constraint=ib",), "train.nodes = 4 is above the 2 nodes with what is asked for in part"),
        ("2", 3, ("launch.exclude=node[1-2]",), "train.nodes = 3 is above the 2 nodes with what is asked for in part"),
    ],
)
def test_trainings(each: str, nodes: int, overrides: tuple[str, ...], said: str, tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("sinfo", PLAIN)
    with pytest.raises(ValueError, match="profile small: ") as caught:
        check(tmp_path, *overrides, train=each, nodes=nodes)
    assert str(caught.value).startswith(f"profile small: {said}")


def test_a_partition_that_limits_the_nodes_of_a_job(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("sinfo", PLAIN.replace("gpu*|up|1-00:00:00|1-infinite", "gpu*|up|1-00:00:00|1-2"))
    assert check(tmp_path, train="2", nodes=2) == []
    with pytest.raises(ValueError, match=r"train.nodes = 3 is above the 2 nodes that a job may have in partition gpu"):
        check(tmp_path, train="2", nodes=3)


def test_nodes_that_are_down_are_told_where_a_training_needs_them(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("sinfo", PLAIN)
    assert check(tmp_path, train="2", nodes=3) == []
    assert check(tmp_path, train="2", nodes=4) == [
        "partition gpu: 1 of 4 nodes are down or drained (node4), and a training on 4 nodes waits until enough are back"
    ]
    assert check(tmp_path, "launch.exclude=node[1-3]") == [
        "partition gpu: 1 of 1 nodes are down or drained (node4), and every task waits until enough are back"
    ]


def test_of_several_partitions_one_must_do(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("sinfo", PLAIN.replace("cpu|up", "cpu|drain"))
    notes = check(tmp_path, "launch.partition=gpu,short,cpu", "launch.gpus_per_task=1", "launch.time_min=60")
    assert [note.partition(";")[0] for note in notes] == [
        "partition cpu is drain: nothing starts in it now",
        "partition short will not be used: launch.time_min = 60 is above the 30 min that partition short allows",
        "partition cpu will not be used: launch.gpus_per_task = 1 is above the 0 GPUs that a node of partition cpu has",
    ]
    with pytest.raises(ValueError, match="partition short allows"):
        check(tmp_path, "launch.partition=short,cpu", "launch.gpus_per_task=1", "launch.time_min=60")


def test_a_cluster_without_a_default_partition(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("sinfo", MIXED)
    with pytest.raises(ValueError, match=r"launch.partition is empty, and SLURM has no default; partitions: main, mig"):
        check(tmp_path)
    with pytest.raises(ValueError, match="no nodes are in partition none"):
        check(tmp_path, "launch.partition=none")


def test_an_answer_that_is_not_understood_stops_nobody(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("sinfo", "something new\n")
    assert "was not checked" in check(tmp_path)[0]


def test_a_slurm_that_is_silent_or_not_there(tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm.put("sinfo")
    with pytest.raises(ValueError, match=r"SLURM does not answer here \(sinfo: .*connect failure\)\)"):
        check(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="there is no sinfo on this machine: submit from a login node, or set"):
        check(tmp_path)


ASSOCIATIONS = "video|long,normal\nlab|normal,+deadline\n"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("launch.account=vidoe",), "launch.account 'vidoe' is none of .*'s; accounts: video, lab"),
        (
            ("launch.account=lab", "launch.qos=long"),
            "launch.qos 'long' is not open to .* in account lab; valid: deadline",
        ),
        (("launch.qos=fast",), "'fast' is not open to .* in any of video, lab; valid: deadline, long, normal"),
        (
            ("launch.qos=long", "launch.time_min=1300"),
            "launch.time_min = 1300 is above the 1200 min that qos long allows",
        ),
    ],
)
def test_accounts_and_qos(overrides: tuple[str, ...], said: str, tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("associations", ASSOCIATIONS)
    slurm.put("qos", "long||20:00:00")
    with pytest.raises(ValueError, match=said):
        check(tmp_path, *overrides)
    assert check(tmp_path, "launch.account=Video", "launch.qos=long", "launch.time_min=1200") == []
    assert check(tmp_path, "launch.account=lab", "launch.qos=deadline", "launch.time_min=1200") == []


def test_a_qos_may_lift_the_time_limit_of_the_partition(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("sinfo", PLAIN)
    slurm.put("associations", ASSOCIATIONS)
    slurm.put("qos", "long|DenyOnLimit,PartitionTimeLimit|")
    assert check(tmp_path, "launch.qos=long", "launch.time_min=9000") == []
    slurm.put("qos", "long|DenyOnLimit|")
    with pytest.raises(ValueError, match="1440 min that partition gpu allows"):
        check(tmp_path, "launch.qos=long", "launch.time_min=9000")


def test_what_accounting_does_not_say_is_told(tmp_path: Path, slurm: Slurm) -> None:
    silent = "SLURM does not answer here (sacctmgr: You are not running a supported accounting_storage plugin)"
    assert check(tmp_path, "launch.account=lab") == [f"launch.account was not checked: {silent}"]
    slurm.put("associations")
    slurm.put("qos")
    said = check(tmp_path, "launch.account=lab", "launch.qos=low")
    assert said[0].startswith("launch.account and launch.qos were not checked: accounting lists nothing of user")
