"""A scheduler for tests: sbatch, srun, sacct, squeue, scancel, scontrol, sinfo and sacctmgr, kept in one folder.

What is submitted really runs, as processes of this machine, with the variables that SLURM sets. `install` makes the
commands; run as a script, this file is all of them. Files in the folder $FAKE_SLURM steer it:
    hold          jobs stay PENDING
    refuse        sbatch fails with this text
    sacct_down, squeue_down   the command fails
    array_size    MaxArraySize
    sinfo         what sinfo prints; else NODES
    associations, qos         what sacctmgr prints of them; without, there is no accounting
and `ID.state` or `ID_TASK.state` is the state of a job or an array task, which a test may change.
"""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "squeue", "scancel", "scontrol", "sinfo", "sacctmgr")
NODES = "".join(
    f"{partition}|up|infinite|1-infinite|{rest}|idle|{kind}{number}|{features}\n"
    for partition, kind, rest, features in (
        ("gpu*", "node", "64|512000|gpu:v100:8(S:0-1)", "v100,ib"),
        ("cpu", "cpu", "128|256000|(null)", "(null)"),
    )
    for number in range(1, 5)
)
"""Partition, its state, time limit and most nodes; CPUs, memory, GPUs, state, name and features of a node."""


def install(bin_folder: Path) -> None:
    for name in COMMANDS:
        path = bin_folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" {name} "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


def sbatch(folder: Path, arguments: list[str]) -> int:
    if (folder / "refuse").exists():
        print((folder / "refuse").read_text(), file=sys.stderr)
        return 1
    if "--test-only" in arguments:
        text = "sbatch: Job 99 to start at 2026-01-02T03:04:05 using 8 processors on nodes node1 in partition gpu"
        print(text, file=sys.stderr)
        return 0
    number = 100
    while True:
        try:
            (folder / f"{number}.job").mkdir()
            break
        except FileExistsError:
            number += 1
    script = Path(arguments[-1]).read_text()
    (folder / f"{number}.sh").write_text(script)
    seen = {name: value for name, value in os.environ.items() if name.startswith("SLURM_")}
    (folder / f"{number}.env").write_text(json.dumps(seen))
    for name in _tasks(number, script):
        _set(folder, name, "PENDING")
    if not (folder / "hold").exists():
        with open(os.devnull, "r+") as nothing:
            command = [sys.executable, "-S", __file__, "run", str(number)]
            subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
    print(f"Submitted batch job {number}")
    return 0


def run(folder: Path, arguments: list[str]) -> int:
    """What slurmctld does with a job: start its tasks, no more at a time than the array allows."""
    number = int(arguments[0])
    script = (folder / f"{number}.sh").read_text()
    found = re.search(r"--array=\S*%(\d+)", script)
    most = int(found[1]) if found else 1
    running: dict[subprocess.Popen[bytes], str] = {}
    waiting = _tasks(number, script)
    while waiting or running:
        while waiting and len(running) < most:
            name = waiting.pop(0)
            if _get(folder, name) == "PENDING":
                running[_start(folder, script, number, name)] = name
        pid, status = os.wait()
        process = next(process for process in running if process.pid == pid)
        name = running.pop(process)
        if _get(folder, name) == "RUNNING":
            _set(folder, name, "FAILED" if status else "COMPLETED")
    return 0


def _start(folder: Path, script: str, number: int, name: str) -> "subprocess.Popen[bytes]":
    array, _, task = name.partition("_")
    # Each array task has a job id of its own beside that of the array.
    own = number * 1000 + int(task) if task else number
    nodes, each = (int(re.findall(rf"--{option}=(\d+)", script)[0]) for option in ("nodes", "ntasks-per-node"))
    ids = {"JOB_ID": own, "NTASKS": nodes * each, "JOB_NUM_NODES": nodes, "NODEID": 0, "PROCID": 0, "LOCALID": 0}
    # The processes of a gang find each other by the name of the first node.
    ids |= {"JOB_NODELIST": "localhost", "CPU_BIND": "quiet"}
    ids |= {"ARRAY_JOB_ID": array, "ARRAY_TASK_ID": task} if task else {}
    environment = os.environ | {f"SLURM_{key}": str(value) for key, value in ids.items()}
    _set(folder, name, "RUNNING")
    path = folder / f"{number}.sh"
    process = subprocess.Popen(["bash", str(path)], env=environment, start_new_session=True)
    (folder / f"{name}.pid").write_text(str(process.pid))
    return process


def srun(folder: Path, arguments: list[str]) -> int:
    """Run the command after the options in each task, its output to the files they name; one that fails ends all."""
    paths = {}
    while arguments and arguments[0].startswith("--"):
        option, _, value = arguments.pop(0).partition("=")
        if option in ("--output", "--error"):
            paths[option] = value or arguments.pop(0)
    tasks, nodes = int(os.environ["SLURM_NTASKS"]), int(os.environ["SLURM_JOB_NUM_NODES"])
    marks = {"%j": "SLURM_JOB_ID", "%A": "SLURM_ARRAY_JOB_ID", "%a": "SLURM_ARRAY_TASK_ID", "%t": "SLURM_PROCID"}
    processes = []
    for rank in range(tasks):
        node, local = divmod(rank, tasks // nodes)
        ids = os.environ | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(local), "SLURM_NODEID": str(node)}
        files = []
        for option in ("--output", "--error"):
            path = paths[option]
            for mark, name in marks.items():
                path = path.replace(mark, ids.get(name, ""))
            files.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        processes.append(subprocess.Popen(arguments, env=ids, stdout=files[0], stderr=files[1]))
    worst = 0
    for _ in processes:
        _, status = os.wait()
        if status and not worst:
            worst = 1
            for process in processes:
                process.kill()
    return worst


def sacct(folder: Path, arguments: list[str]) -> int:
    if (folder / "sacct_down").exists():
        print("sacct: error: Unable to connect to database", file=sys.stderr)
        return 1
    print("JobID|State|NodeList")
    for number in arguments[arguments.index("-j") + 1].split(","):
        states = _states(folder, number)
        waiting = [name.partition("_")[2] for name, state in states.items() if state == "PENDING"]
        if len(waiting) > 1 and "_" in next(iter(states)):
            print(f"{number}_[{waiting[0]}-{waiting[-1]}%2]|PENDING|None assigned")
            states = {name: state for name, state in states.items() if state != "PENDING"}
        for name, state in states.items():
            print(f"{name}|{state}|node1")
            if state != "PENDING":
                print(f"{name}.batch|{state.split()[0]}|node1")
    return 0


def squeue(folder: Path, arguments: list[str]) -> int:
    if (folder / "squeue_down").exists():
        print("slurm_load_jobs error: Unable to contact slurm controller", file=sys.stderr)
        return 1
    names = {}
    for number in arguments[arguments.index("--jobs") + 1].split(","):
        names |= {k: v for k, v in _states(folder, number).items() if v in ("PENDING", "RUNNING")}
    if not names:
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        return 1
    for name, state in names.items():
        print(f"{name}|{state}")
    return 0


def scancel(folder: Path, arguments: list[str]) -> int:
    for name in arguments:
        if _get(folder, name) in ("PENDING", "RUNNING"):
            _set(folder, name, "CANCELLED by 0")
            if (folder / f"{name}.pid").exists():
                os.killpg(int((folder / f"{name}.pid").read_text()), signal.SIGKILL)
    return 0


def scontrol(folder: Path, arguments: list[str]) -> int:
    size = (folder / "array_size").read_text() if (folder / "array_size").exists() else "1001"
    print(f"Configuration data as of today\nMaxArraySize            = {size}")
    return 0


def sinfo(folder: Path, arguments: list[str]) -> int:
    text = (folder / "sinfo").read_text() if (folder / "sinfo").exists() else NODES
    if not text:
        print("slurm_load_partitions: Unable to contact slurm controller (connect failure)", file=sys.stderr)
        return 1
    print(text, end="")
    return 0


def sacctmgr(folder: Path, arguments: list[str]) -> int:
    path = folder / arguments[arguments.index("show") + 1]
    if not path.exists():
        print("You are not running a supported accounting_storage plugin", file=sys.stderr)
        return 1
    print(path.read_text())
    return 0


def _tasks(number: int, script: str) -> list[str]:
    found = re.search(r"#SBATCH --array=0-(\d+)", script)
    return [f"{number}_{task}" for task in range(int(found[1]) + 1)] if found else [str(number)]


def _states(folder: Path, number: str) -> dict[str, str]:
    script = folder / f"{number}.sh"
    return {name: _get(folder, name) for name in _tasks(int(number), script.read_text())} if script.exists() else {}


def _set(folder: Path, name: str, state: str) -> None:
    (folder / f".{name}.state").write_text(state)
    os.replace(folder / f".{name}.state", folder / f"{name}.state")


def _get(folder: Path, name: str) -> str:
    path = folder / f"{name}.state"
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](Path(os.environ["FAKE_SLURM"]), sys.argv[2:]))
