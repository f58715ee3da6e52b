"""What the daemons of the fake scheduler do: start the tasks of a job, and the processes of a task (srun)."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.harness.fake_slurm import put_state, read, state, tasks


def run(folder: Path, arguments: list[str]) -> int:
    """What slurmctld does with a job: start its tasks, no more at a time than the array allows."""
    number = int(arguments[0])
    script = (folder / f"{number}.sh").read_text()
    found = re.search(r"--array=\S*%(\d+)", script)
    most = int(found[1]) if found else 1
    running: dict[subprocess.Popen[bytes], str] = {}
    waiting = tasks(number, script)
    while waiting or running:
        while waiting and len(running) < most:
            name = waiting.pop(0)
            if state(folder, name) == "PENDING":
                running[_start(folder, script, number, name)] = name
        pid, status = os.wait()
        process = next(process for process in running if process.pid == pid)
        name = running.pop(process)
        if state(folder, name) == "PENDING":
            _wait_for_all_of(process)
            waiting.append(name)
        elif state(folder, name) == "RUNNING":
            put_state(folder, name, (read(folder, "failed_as") or "FAILED") if status else "COMPLETED")
    return 0


def _wait_for_all_of(process: "subprocess.Popen[bytes]") -> None:
    """Let a job that has been requeued come to its end; what does not is killed."""
    until = time.monotonic() + 10
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(process.pid, signal.SIGKILL if time.monotonic() > until else 0)
            time.sleep(0.05)


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
    put_state(folder, name, "RUNNING")
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


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](Path(os.environ["FAKE_SLURM"]), sys.argv[2:]))
