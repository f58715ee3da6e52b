"""The programs of a test cluster: finding, starting and ending them.

Nothing here goes by a program's name alone: other clusters may run on the machine. A daemon belongs to the cluster
whose log it writes, a job's process to the one that it was submitted to.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

PROGRAMS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd", "slurmstepd")
TOOLS = ("munge", "mariadb-install-db", "mariadb-admin", "sacctmgr", "scontrol", "sinfo", "setsid")
START_S = 60
"""How long a daemon may take to answer; seconds on a free machine."""


def unable() -> str:
    """Why no cluster can be started here, in one line; empty where one can."""
    # slurmstepd is no command; it comes with slurmd.
    missing = [name for name in (*PROGRAMS[:-1], *TOOLS) if program(name) is None]
    if missing:
        return f"{', '.join(missing)} not found: run tests/slurm/install.sh as root (Debian)"
    if os.geteuid():
        return "a SLURM cluster can be started by root only: use sudo"
    return ""


def program(name: str) -> str | None:
    """Its path; the daemons' folder is not on everybody's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def start(
    name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, ready: Callable[[], bool]
) -> None:
    """Start a daemon that puts itself into the background, and wait until it is `ready`.

    OSError with the end of its log where it does not get there.
    """
    with log.open("ab") as output:
        code = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            umask=0o022,
            timeout=START_S,
        ).returncode
    if code:
        raise OSError(f"{name} ended with exit code {code}; its log ends: {_end(log)}")
    wait(ready, lambda: f"{name} did not come up; its log ends: {_end(log)}", START_S)


def answers(command: Sequence[str], environment: Mapping[str, str], wanted: str = "") -> bool:
    """Whether a command succeeds and, if something is wanted, says it."""
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and wanted in done.stdout


def wait(condition: Callable[[], bool], otherwise: Callable[[], str], timeout_s: float) -> None:
    """Wait until the condition holds; OSError saying `otherwise` where it does not within `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise OSError(f"{otherwise()} (waited {timeout_s:.0f} s)")
        time.sleep(0.1)


def processes(folder: Path, node: str = "") -> list[psutil.Process]:
    """What runs of the cluster in `folder`, or of one of its nodes: daemons, steps and the jobs' processes."""
    logs = str(folder / "log" / f"{node}.log") if node else str(folder / "log") + os.sep
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            # Debian adds the suffix.
            if Path(process.exe()).name.removesuffix("-wlm") in PROGRAMS:
                # Steps and slurmctld's helper overwrite their arguments and environment, but all keep their log open.
                # Not psutil's open_files(): it leaves out what was deleted, and a folder may have been.
                mine = any(file.startswith(logs) for file in _open_files(process.pid))
            else:
                given = process.environ()
                mine = "SLURM_JOB_ID" in given and given.get("SLURM_CONF") == str(folder / "slurm.conf")
                mine = mine and node in ("", given.get("SLURMD_NODENAME"))
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _open_files(pid: int) -> Iterator[str]:
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it may have been closed meanwhile
            yield os.readlink(file)


def daemons(folder: Path) -> dict[str, psutil.Process]:
    """The daemons that run of the cluster in `folder`, by the names of their logs: slurmctld, node1, …"""
    running = {process.pid: process for process in processes(folder)}
    found = {}
    for path in (folder / "run").glob("*.pid"):
        with contextlib.suppress(OSError, ValueError):
            if process := running.get(int(path.read_text())):
                found[path.stem] = process
    return found


def kill(find: Callable[[], list[psutil.Process]]) -> None:
    """End at once all that `find` finds, until it finds nothing: what dies may have started another meanwhile."""

    def none_left() -> bool:
        found = find()
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return not found

    wait(none_left, lambda: f"cannot end processes {', '.join(str(process.pid) for process in find())}", 30)


def _end(log: Path) -> str:
    return " | ".join(line.strip() for line in log.read_text(errors="replace").splitlines()[-4:]) or "nothing"
