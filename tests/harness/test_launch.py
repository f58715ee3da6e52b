"""Submitting: the script that SLURM gets, what is noted for the next driver, and that nothing is started twice."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import launch, local
from harness.machine import processes
from harness.plan import Plan, make_plan
from harness.profiles import Profile
from jobs.cells import Cell
from results.files import read_json, write_json
from results.progress import job_folder
from tests.harness.conftest import Slurm
from tests.harness.made import make_planner, make_table, put_progress

COUNT = Cell("vit_demo", "none", "", "", "gflops")
EVALUATE = Cell("vit_demo", "none", "motion", "2x3", "top1")
TIMING = Cell("vit_demo", "none", "", "", "clips_per_s")

SCRIPT = """\
#!/bin/bash

# Parameters
#SBATCH --account=lab
#SBATCH --array=0-3%2
#SBATCH --constraint=v100
#SBATCH --cpus-per-task=5
#SBATCH --error=LOGS/%A_%a_0_log.err
#SBATCH --exclude='node[7-9]'
#SBATCH --gpus-per-node=1
#SBATCH --job-name=harness
#SBATCH --mem=40GB
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=LOGS/%A_%a_0_log.out
#SBATCH --partition=gpu
#SBATCH --qos=low
#SBATCH --signal=USR2@90
#SBATCH --time=720
#SBATCH --wckey=submitit

# setup
module load cuda

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output LOGS/%A_%a_%t_log.out --error LOGS/%A_%a_%t_log.err --cpus-per-task=5 \
--kill-on-bad-exit=1 PYTHON -u -m submitit.core._submit LOGS
"""
SLURM: dict[str, Any] = {
    "executor": "slurm",
    "tasks": 4,
    "parallel": 2,
    "cpus_per_task": 5,
    "gpus_per_task": 1,
    "mem_gb": 40,
    "time_min": 720,
    "partition": "gpu",
    "account": "lab",
    "qos": "low",
    "constraint": "v100",
    "exclude": "node[7-9]",
    "setup": ["module load cuda"],
}


def planned(folder: Path, *cells: Cell, fuse: bool = True, **options: Any) -> tuple[Plan, Profile, Path]:
    planner = make_planner(folder, **options)
    return make_plan([make_table(cells)], planner, (), fuse=fuse), planner.profile, folder / "runs"


def plain(script: str) -> str:
    """A script without what differs from machine to machine."""
    logs = re.search(r"submitit\.core\._submit (\S+)", script)
    assert logs
    return script.replace(logs[1], "LOGS").replace(sys.executable, "PYTHON")


def entries(runs: Path, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(job_folder(runs, job_id) / "submitted.json")["tasks"]
    return found


def test_the_script_is_the_golden_one_and_a_dry_run_shows_it(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, **SLURM)
    (shown,) = launch.scripts(plan, profile, runs)
    assert not runs.exists()
    assert launch.submit(plan, profile, runs) == 4
    (script,) = slurm.scripts
    assert plain(script) == SCRIPT
    assert plain(shown) == SCRIPT


def test_every_task_is_noted_with_its_slurm_id(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, COUNT, executor="slurm", tasks=3)
    launch.submit(plan, profile, runs)
    ids = [(job.kind, [one["id"] for one in entries(runs, job.id).values()]) for job in plan.jobs]
    assert ids == [("count", ["100_0"]), ("evaluate", ["100_1", "100_2", "100_3"])]
    for job in plan.jobs:
        content = read_json(job_folder(runs, job.id) / "job.json")
        assert content["record_ids"] == [job.record_id(cell) for cell in job.cells]
        assert content["tasks"] == plan.tasks[job.id]
    logs = runs / "logs" / entries(runs, plan.jobs[0].id)["0"]["log"]
    assert (logs / "100_0_submitted.pkl").is_file()


def test_what_is_queued_is_not_submitted_again_but_what_is_dead_is(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=3)
    assert launch.submit(plan, profile, runs) == 3
    assert launch.submit(plan, profile, runs) == 0
    slurm.set_state("100_1", "CANCELLED by 0")
    assert launch.submit(plan, profile, runs) == 1
    assert [one["id"] for one in entries(runs, plan.jobs[0].id).values()] == ["100_0", "101", "100_2"]
    assert "--array" not in slurm.scripts[1]


def test_tasks_that_run_keep_their_number(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=3)
    launch.submit(plan, profile, runs)
    (job,) = plan.jobs
    before = (job_folder(runs, job.id) / "job.json").read_text()
    plan.tasks[job.id] = 8
    slurm.set_state("100_2", "FAILED")
    assert launch.submit(plan, profile, runs) == 1
    assert (job_folder(runs, job.id) / "job.json").read_text() == before


def test_timings_have_a_node_to_themselves(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, COUNT, TIMING, executor="slurm", tasks=1)
    shown = launch.scripts(plan, profile, runs)
    launch.submit(plan, profile, runs)
    assert ["#SBATCH --exclusive\n" in script for script in slurm.scripts] == [False, True]
    assert [plain(script) for script in shown] == [plain(script) for script in slurm.scripts]


def test_arrays_are_cut_at_the_clusters_limit_and_run_as_wide_as_it_grants(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    slurm.put("array_size", "3")
    plan, profile, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=7)
    assert launch.submit(plan, profile, runs) == 7
    arrays = [re.findall(r"--array=(\S+)", script) for script in slurm.scripts]
    assert arrays == [["0-2%3"], ["0-2%3"], []]
    assert [one["id"] for one in entries(runs, plan.jobs[0].id).values()] == [
        *("100_0", "100_1", "100_2", "101_0", "101_1", "101_2", "102")
    ]


def test_variables_of_a_job_around_it_are_not_passed_on(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm.put("hold")
    monkeypatch.setenv("SLURM_CPU_BIND", "quiet,mask_cpu:0x1")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_CONF", "/etc/own/slurm.conf")
    plan, profile, runs = planned(tmp_path, COUNT, executor="slurm", tasks=1)
    launch.submit(plan, profile, runs)
    assert json.loads((slurm.folder / "100.env").read_text()) == {"SLURM_CONF": "/etc/own/slurm.conf"}
    assert os.environ["SLURM_JOB_ID"] == "77"


def test_sbatch_refuses(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("refuse", "sbatch: error: invalid partition specified: gpu")
    plan, profile, runs = planned(tmp_path, COUNT, executor="slurm", tasks=1)
    with pytest.raises(ValueError, match=r"profile small cannot submit to SLURM: .*invalid partition"):
        launch.submit(plan, profile, runs)


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    plan, profile, runs = planned(tmp_path, COUNT, executor="slurm", tasks=1)
    with pytest.raises(ValueError, match=r"profile small cannot submit to SLURM: .*srun"):
        launch.submit(plan, profile, runs)


def test_a_new_sweep_takes_a_cancellation_back(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=2)
    cancelled = job_folder(runs, plan.jobs[0].id) / "cancelled"
    for task in (None, "100_1"):
        write_json(cancelled, {})
        if task:
            slurm.set_state(task, "CANCELLED by 0")
        launch.submit(plan, profile, runs)
        assert not cancelled.exists()


class Submitted(list[tuple[list[tuple[str, int]], list[tuple[int, float]]]]):
    """The tasks of each local process, and what it waits for; process n has the id -n."""

    def __call__(self, units: Any, after: Any, lane: int, settings: Any, runs: Path) -> tuple[int, float]:
        self.append((list(units), list(after)))
        return -len(self), 0.0


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> Submitted:
    found = Submitted()
    monkeypatch.setattr(local, "_tasks", found)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(2))
    return found


def test_local_tasks_share_as_many_processes_as_there_are_cores(tmp_path: Path, submitted: Submitted) -> None:
    plan, profile, runs = planned(tmp_path, COUNT, EVALUATE, tasks=3)
    count, evaluate = (job.id for job in plan.jobs)
    assert launch.submit(plan, profile, runs) == 4
    assert submitted == [([(count, 0), (evaluate, 1)], []), ([(evaluate, 0), (evaluate, 2)], [])]


def test_a_timing_waits_for_everybody_and_everybody_for_a_timing(tmp_path: Path, submitted: Submitted) -> None:
    plan, profile, runs = planned(tmp_path, COUNT, TIMING)
    count, timing = (job.id for job in plan.jobs)
    me = (os.getpid(), psutil.Process().create_time())
    mine = {"host": socket.gethostname(), "pid": me[0], "pid_created": me[1]}
    launch.submit(plan, profile, runs)
    assert submitted == [([(count, 0)], []), ([(timing, 0)], [(-1, 0.0)])]

    # Another sweep's task runs: the timing waits for it too, the count does not.
    submitted.clear()
    write_json(job_folder(runs, "other") / "job.json", {"kind": "evaluate", "tasks": 1})
    put_progress(runs, "other", **mine)
    launch.submit(plan, profile, runs)
    assert submitted == [([(count, 0)], []), ([(timing, 0)], [me, (-1, 0.0)])]

    # It is a timing: both wait.
    submitted.clear()
    write_json(job_folder(runs, "other") / "job.json", {"kind": "measure", "tasks": 1})
    assert processes(runs) == {me: (True, f"process {me[0]}")}
    launch.submit(plan, profile, runs)
    assert submitted == [([(count, 0)], [me]), ([(timing, 0)], [me, (-1, 0.0)])]


def test_each_local_process_has_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(16))
    monkeypatch.setattr("submitit.LocalExecutor.update_parameters", lambda _, **one: given.append(one["visible_gpus"]))
    monkeypatch.setattr("submitit.LocalExecutor.submit", lambda *_: type("Job", (), {"job_id": str(os.getpid())}))
    plan, profile, runs = planned(tmp_path, EVALUATE, tasks=9, gpus_per_task=1)
    launch.submit(plan, profile, runs)
    assert given == [(3,), (5,)]
    noted = entries(runs, plan.jobs[0].id)
    assert [noted[str(task)]["lane"] for task in range(9)] == [0, 1, 0, 1, 0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        ([1], [(0, []), (2, []), (3, [])]),
        ([0, 1, None], [(2, [])]),
        ([0, 3, 1, 2], [(0, [0, 1, 2, 3])]),
        ([0, 7, 8, None], [(0, [0, 1, 2, 3])]),
        ([2, 2, 2], [(0, []), (1, []), (3, [])]),
    ],
    ids=["one", "one unknown", "all", "lanes of another profile", "one busy, the others wait for it"],
)
def test_what_still_runs_here_keeps_its_lanes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: list[int | None], expected: list[tuple[int, list[int]]]
) -> None:
    given = []
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4))
    monkeypatch.setattr(local, "_tasks", lambda units, after, lane, *_: given.append((lane, after, units)))
    plan, profile, runs = planned(tmp_path, EVALUATE, tasks=4)
    with contextlib.ExitStack() as stack:
        others = []
        for number, lane in enumerate(busy):
            child = stack.enter_context(subprocess.Popen(["sleep", "60"]))
            stack.callback(child.kill)
            others.append((child.pid, psutil.Process(child.pid).create_time()))
            entry = {"executor": "local", "host": socket.gethostname(), "id": child.pid, "created": others[-1][1]}
            tasks = {"0": entry if lane is None else entry | {"lane": lane}}
            write_json(job_folder(runs, f"other{number}") / "submitted.json", {"tasks": tasks})
            write_json(job_folder(runs, f"other{number}") / "job.json", {"kind": "evaluate", "tasks": 1})
            # Where there is a setup, this is the shell, and the task reports what the shell has started.
            me = {"pid": os.getpid(), "pid_created": psutil.Process().create_time()}
            if lane is not None and number == 0:
                put_progress(runs, "other0", host=socket.gethostname(), **me)
        launch.submit(plan, profile, runs)
        alive = list(processes(runs))
    assert [lane for lane, _, _ in given] == [lane for lane, _ in expected]
    for (_, after, _), (_, wanted) in zip(given, expected, strict=True):
        assert after == (alive if wanted else [])
        assert {others[number] for number in wanted} <= set(after)
    assert sorted(unit for _, _, units in given for unit in units) == [(plan.jobs[0].id, k) for k in range(4)]


def test_a_local_process_really_runs_and_lets_go_of_our_output(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from harness import launch, local
from tests.harness.test_launch import COUNT, planned
setup = ["until [ -e go ]; do sleep 0.1; done", "echo made ready", "false"]
plan, profile, runs = planned(Path({str(tmp_path)!r}), COUNT, setup=setup)
print(launch.submit(plan, profile, runs), plan.jobs[0].id)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
    tasks, job_id = done.stdout.split()
    assert tasks == "1"
    (entry,) = entries(tmp_path / "runs", job_id).values()
    process = psutil.Process(int(entry["id"]))
    assert process.create_time() == pytest.approx(entry["created"])
    (tmp_path / "go").touch()
    psutil.wait_procs([process], timeout=30)
    assert (tmp_path / "runs" / "logs" / entry["log"] / "process.log").read_text() == "made ready\n"
