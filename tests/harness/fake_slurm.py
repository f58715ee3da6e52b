"""A scheduler for tests: sbatch, srun, sacct, squeue, scancel, scontrol, sinfo and sacctmgr, kept in one folder.

What is submitted really runs (by fake_jobs.py), as processes of this machine, with the variables that SLURM sets.
`install` makes the commands; run as a script, this file is all of them but srun. Files in the folder $FAKE_SLURM steer
it:
    hold          jobs stay PENDING
    refuse        sbatch fails with this text
    most          as many tasks may be submitted at a time
    busy          sbatch takes nothing so many times, and says that it timed out
    lose_answer   sbatch takes the job and says that it timed out
    kill_driver   sbatch kills whoever called it, `before` or `after` it has taken the job
    sacct_down, squeue_down   the command fails
    forget        squeue no longer knows what has ended
    failed_as     the state of tasks that fail, else FAILED
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
TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
OVER = (
    "QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy "
    "(job submit limit, user's size and/or time limits)"
)
JOBS = str(Path(__file__).with_name("fake_jobs.py"))


def install(bin_folder: Path) -> None:
    for name in COMMANDS:
        path = bin_folder / name
        file = JOBS if name == "srun" else __file__
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{file}" {name} "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


def sbatch(folder: Path, arguments: list[str]) -> int:
    if (folder / "refuse").exists():
        print((folder / "refuse").read_text(), file=sys.stderr)
        return 1
    script = Path(arguments[-1]).read_text() if Path(arguments[-1]).is_file() else sys.stdin.read()
    if (most := read(folder, "most")) and len(tasks(0, script)) + _submitted(folder) > int(most):
        print(f"sbatch: error: {OVER}", file=sys.stderr)
        return 1
    if "--test-only" in arguments:
        text = "sbatch: Job 99 to start at 2026-01-02T03:04:05 using 8 processors on nodes node1 in partition gpu"
        print(text, file=sys.stderr)
        return 0
    if left := int(read(folder, "busy") or 0):
        (folder / "busy").write_text(str(left - 1))
        print(TIMED_OUT, file=sys.stderr)
        return 1
    if read(folder, "kill_driver") == "before":
        _kill_driver(folder)
        return 1
    number = 100
    while True:
        try:
            (folder / f"{number}.job").mkdir()
            break
        except FileExistsError:
            number += 1
    (folder / f"{number}.sh").write_text(script)
    seen = {name: value for name, value in os.environ.items() if name.startswith("SLURM_")}
    (folder / f"{number}.env").write_text(json.dumps(seen))
    for name in tasks(number, script):
        put_state(folder, name, "PENDING")
    if not (folder / "hold").exists():
        with open(os.devnull, "r+") as nothing:
            command = [sys.executable, "-S", JOBS, "run", str(number)]
            subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
    if read(folder, "kill_driver") == "after":
        _kill_driver(folder)
    if (folder / "lose_answer").exists():
        print(TIMED_OUT, file=sys.stderr)
        return 1
    print(f"Submitted batch job {number}")
    return 0


def sacct(folder: Path, arguments: list[str]) -> int:
    if (folder / "sacct_down").exists():
        print("sacct: error: Unable to connect to database", file=sys.stderr)
        return 1
    if name := _option(arguments, "--name"):
        for number in _named(folder, name):
            print("\n".join(_states(folder, number)))
        return 0
    print("JobID|State|NodeList|ExitCode")
    for number in _option(arguments, "-j").split(","):
        states = _states(folder, number)
        waiting = [name.partition("_")[2] for name, state in states.items() if state == "PENDING"]
        if len(waiting) > 1 and "_" in next(iter(states)):
            print(f"{number}_[{waiting[0]}-{waiting[-1]}%2]|PENDING|None assigned|0:0")
            states = {name: state for name, state in states.items() if state != "PENDING"}
        for name, state in states.items():
            code = "1:0" if state == "FAILED" else "0:0"
            print(f"{name}|{state}|node1|{code}")
            if state != "PENDING":
                print(f"{name}.batch|{state.split()[0]}|node1|{code}")
    return 0


def squeue(folder: Path, arguments: list[str]) -> int:
    if (folder / "squeue_down").exists():
        print("slurm_load_jobs error: Unable to contact slurm controller", file=sys.stderr)
        return 1
    name, numbers = _option(arguments, "--name"), _option(arguments, "--jobs").split(",")
    states: dict[str, str] = {}
    if "--me" in arguments:
        numbers = [path.stem for path in folder.glob("*.sh")]
    for number in _named(folder, name) if name else numbers:
        states |= _states(folder, number)
    everything = _option(arguments, "--states") == "all" and not (folder / "forget").exists()
    shown = {k: v.split()[0] for k, v in states.items() if everything or v in ("PENDING", "RUNNING")}
    if not shown and not name and len(numbers) == 1 and "--me" not in arguments:
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        return 1
    for task, state in shown.items():
        node, reason = ("", "Priority") if state == "PENDING" else ("node1", "None")
        line = _option(arguments, "--format")
        for mark, text in {"%i": task, "%F": task.partition("_")[0], "%T": state, "%N": node, "%r": reason}.items():
            line = line.replace(mark, text)
        print(line)
    return 0


def scancel(folder: Path, arguments: list[str]) -> int:
    for name in arguments:
        if state(folder, name) in ("PENDING", "RUNNING"):
            put_state(folder, name, "CANCELLED by 0")
            if (folder / f"{name}.pid").exists():
                os.killpg(int((folder / f"{name}.pid").read_text()), signal.SIGKILL)
    return 0


def scontrol(folder: Path, arguments: list[str]) -> int:
    if arguments[0] == "requeue":
        put_state(folder, arguments[1], "PENDING")
        os.killpg(int((folder / f"{arguments[1]}.pid").read_text()), signal.SIGTERM)
        return 0
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


def tasks(number: int, script: str) -> list[str]:
    found = re.search(r"#SBATCH --array=0-(\d+)", script)
    return [f"{number}_{task}" for task in range(int(found[1]) + 1)] if found else [str(number)]


def _states(folder: Path, number: str) -> dict[str, str]:
    script = folder / f"{number}.sh"
    return {name: state(folder, name) for name in tasks(int(number), script.read_text())} if script.exists() else {}


def _submitted(folder: Path) -> int:
    """How many tasks have not ended."""
    names = [path.name.removesuffix(".state") for path in folder.glob("[0-9]*.state")]
    return sum(state(folder, name) in ("PENDING", "RUNNING") for name in names)


def _named(folder: Path, name: str) -> list[str]:
    """The jobs of that name."""
    scripts = [(path.stem, path.read_text()) for path in folder.glob("*.sh")]
    return [number for number, script in scripts if re.search(rf"--job-name='?{re.escape(name)}'?\n", script)]


def _option(arguments: list[str], name: str) -> str:
    """The value of an option, given as `NAME=VALUE` or `NAME VALUE`; empty where it is not there."""
    for number, argument in enumerate(arguments):
        if argument.partition("=")[0] == name:
            return argument.partition("=")[2] or arguments[number + 1]
    return ""


def _kill_driver(folder: Path) -> None:
    """Kill the process that has called sbatch, whose parent is the `timeout` around it."""
    (folder / "kill_driver").unlink()
    status = Path(f"/proc/{os.getppid()}/status").read_text()
    os.kill(int(re.findall(r"^PPid:\s*(\d+)", status, re.MULTILINE)[0]), signal.SIGKILL)


def read(folder: Path, name: str) -> str:
    path = folder / name
    return path.read_text() if path.exists() else ""


def put_state(folder: Path, name: str, state: str) -> None:
    (folder / f".{name}.state").write_text(state)
    os.replace(folder / f".{name}.state", folder / f"{name}.state")


def state(folder: Path, name: str) -> str:
    return read(folder, f"{name}.state")


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](Path(os.environ["FAKE_SLURM"]), sys.argv[2:]))
