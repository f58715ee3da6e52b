"""The doctor's trial: one small task goes the way of all others, and what becomes of it is told in time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.checking import trial
from harness.checking.trial import try_out
from harness.profiles import Profile, load_profile
from harness.running.findings import Finding
from jobs.spec.cells import Cell
from jobs.spec.jobs import Train
from results.files import read_json, write_json
from tests.harness.conftest import Slurm
from tests.harness.made import make_planner, make_profile

MACHINE = {"host": "node1", "python": "3.11.7", "cores": 4}
TORCH = {"version": "2.14.1", "cuda": "12.6", "gpus": [{"name": "V100", "arch": "sm_70"}]}


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LOOK_S", 0.05)
    monkeypatch.setattr(trial, "SEEN_S", 0.2)


def small(folder: Path, **launch: Any) -> Profile:
    return load_profile(str(make_profile(folder, **launch)))


def training(folder: Path, **launch: Any) -> Train:
    planner = make_planner(folder, overrides=["train.nodes=1"], **launch)
    job = planner.job([Cell("vit_demo", "none", "motion", "", "train_hours")])
    assert isinstance(job, Train)
    return job


def said(findings: Iterator[Finding]) -> dict[str, tuple[str, str]]:
    return {one.subject: (one.state, one.text) for one in findings}


def test_on_this_machine_two_processes_meet_as_those_of_a_training(tmp_path: Path) -> None:
    found = said(try_out(small(tmp_path), tmp_path / "runs", [training(tmp_path)], ""))
    assert [state for state, _ in found.values()] == ["ok"] * 5
    assert found["trial meeting"][1].endswith("added numbers")
    assert found["trial video"][1].startswith("1")


def test_on_slurm_it_is_a_job_like_others_and_says_what_failed_of_its_setup(tmp_path: Path, slurm: Slurm) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    options = {"executor": "slurm", "tasks": 1, "setup": ["no_such_module load cuda", "export A=b"], "partition": "gpu"}
    profile = small(tmp_path, **options, account="lab", cpus_per_task=1)
    found = said(try_out(profile, tmp_path / "runs", [], str(tmp_path / "broken.mp4")))
    assert found["trial"][0] == "ok"
    assert found["trial setup"][0] == "warning"
    assert found["trial setup"][1].endswith(": no_such_module load cuda")
    assert found["trial video"][0] == "wrong"
    assert f"{tmp_path}/broken.mp4: not a video" in found["trial video"][1]
    (script,) = slurm.scripts
    for line in ("job-name=harness-trial", "partition=gpu", "account=lab", "cpus-per-task=1", "time=5"):
        assert f"#SBATCH --{line}\n" in script


def test_a_trial_of_a_training_on_several_nodes_takes_two(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    options: dict[str, Any] = {"executor": "slurm", "tasks": 1, "gpus_per_task": 1, "cpus_per_task": 3}
    planner = make_planner(tmp_path, overrides=["train.nodes=4", "train.batch=16"], **options)
    job = planner.job([Cell("vit_demo", "none", "motion", "", "train_hours")])
    assert isinstance(job, Train)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "QUEUE_S", 0.2)
        found = said(try_out(planner.profile, tmp_path / "runs", [job], ""))
    assert found == {"trial": ("unknown", "still queued after 0 s (Priority): cancelled without a result")}
    assert slurm.state("100").startswith("CANCELLED")
    for line in ("nodes=2", "ntasks-per-node=1", "gpus-per-node=1"):
        assert f"#SBATCH --{line}\n" in slurm.scripts[0]
    assert "exclusive" not in slurm.scripts[0]


def test_one_that_slurm_refuses(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("refuse", "sbatch: error: Invalid account")
    found = said(try_out(small(tmp_path, executor="slurm", tasks=1), tmp_path / "runs", [], ""))
    assert found["trial"][0] == "wrong"
    assert "Invalid account" in found["trial"][1]


def test_one_that_ends_before_its_first_step(tmp_path: Path, slurm: Slurm) -> None:
    for executor in ("slurm", "local"):
        profile = small(tmp_path, executor=executor, tasks=1, setup=["echo no such licence", "exit 3"])
        state, text = said(try_out(profile, tmp_path / "runs", [], ""))["trial"]
        assert state == "wrong"
        assert text.startswith("it ended")
        if executor == "local":
            assert "before its first step: no such licence; its log is in" in text


class Scripted:
    """A trial of which a test says what it leaves and how it fares."""

    def __init__(self, folder: Path, states: Iterator[tuple[str, str]], *found: dict[str, Any]) -> None:
        self.states, self.cancelled = states, False
        self.asked = read_json(folder / "trial.json")
        for number, content in enumerate(found):
            write_json(folder / f"found-{number}.json", {"step": "done", "wrong": {}} | content)

    def state(self) -> tuple[str, str]:
        return next(self.states)

    def cancel(self) -> None:
        self.cancelled = True


def repeat(*state: str) -> Iterator[tuple[str, str]]:
    while True:
        yield (state[0], state[1])


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Scripted]]:
    def script(states: Iterator[tuple[str, str]], *found: dict[str, Any]) -> list[Scripted]:
        made: list[Scripted] = []

        def start(launch: object, processes: int, folder: Path) -> Scripted:
            made.append(Scripted(folder, states, *found))
            return made[0]

        monkeypatch.setattr(trial, "_start", start)
        return made

    return script


@pytest.mark.parametrize(
    ("launch", "found", "subject", "state", "text"),
    [
        ({"gpus_per_task": 1}, {"torch": TORCH}, "trial torch", "ok", "PyTorch 2.14.1 computes on V100 (sm_70)"),
        (
            {"gpus_per_task": 1},
            {"torch": TORCH | {"gpus": []}},
            "trial torch",
            "wrong",
            "launch.gpus_per_task = 1, and there is no GPU to use on node1: PyTorch 2.14.1 is built for CUDA 12.6; see "
            "nvidia-smi there",
        ),
        (
            {"gpus_per_task": 1, "gpu_arch": "sm_80"},
            {"torch": TORCH},
            "trial torch",
            "warning",
            "launch.gpu_arch = sm_80, and node1 has V100 (sm_70)",
        ),
        ({}, {"torch": TORCH | {"gpus": []}}, "trial torch", "ok", "PyTorch 2.14.1 multiplies"),
        (
            {},
            {"wrong": {"torch": "ImportError: no libcuda"}},
            "trial torch",
            "wrong",
            "ImportError: no libcuda (on node1)",
        ),
        ({"cpus_per_task": 4}, {}, "trial cores", "ok", "4, and launch.cpus_per_task = 4"),
        (
            {"cpus_per_task": 5},
            {},
            "trial cores",
            "warning",
            "4 for each of launch.cpus_per_task = 5; the cluster's manual",
        ),
        ({}, {"name": "10.0.0.1"}, "trial name", "ok", "node1 resolves"),
        (
            {},
            {"wrong": {"name": "node1 does not resolve"}},
            "trial name",
            "warning",
            "node1 does not resolve (on node1)",
        ),
    ],
)
def test_what_was_found_is_judged(
    launch: dict[str, Any],
    found: dict[str, Any],
    subject: str,
    state: str,
    text: str,
    tmp_path: Path,
    scripted: Callable[..., list[Scripted]],
) -> None:
    made = scripted(repeat("runs", ""), {"machine": MACHINE} | found)
    findings = said(try_out(small(tmp_path, **launch), tmp_path / "runs", [], "a.mp4"))
    assert findings[subject][0] == state
    assert findings[subject][1].startswith(text)
    assert made[0].asked == {"processes": 1, "video": "a.mp4"}
    assert not made[0].cancelled


def test_one_that_hangs_is_cancelled_and_says_where(
    tmp_path: Path, scripted: Callable[..., list[Scripted]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "RUN_S", 0.2)
    made = scripted(repeat("runs", ""), {"machine": MACHINE}, {"machine": MACHINE | {"host": "node2"}, "step": "torch"})
    state, text = said(try_out(small(tmp_path), tmp_path / "runs", [training(tmp_path)], ""))["trial"]
    assert state == "wrong"
    assert text.startswith("cancelled after 0 s, at step 'torch' on node2; its log is in")
    assert made[0].cancelled


def test_one_of_which_nothing_is_seen(tmp_path: Path, scripted: Callable[..., list[Scripted]]) -> None:
    scripted(repeat("ended", "SLURM says COMPLETED"))
    state, text = said(try_out(small(tmp_path), tmp_path / "runs", [], ""))["trial"]
    assert state == "wrong"
    assert "(SLURM says COMPLETED) and none of its output can be seen here: is the runs folder on a file system" in text


def test_a_name_that_does_not_resolve_is_wrong_where_a_training_needs_it(
    tmp_path: Path, scripted: Callable[..., list[Scripted]]
) -> None:
    found = {"machine": MACHINE, "wrong": {"name": "node1 does not resolve", "meeting": "no"}}
    scripted(repeat("runs", ""), found, found)
    findings = said(try_out(small(tmp_path), tmp_path / "runs", [training(tmp_path)], ""))
    assert findings["trial name"][0] == findings["trial meeting"][0] == "wrong"
