"""Where and with what a value was measured: machine, versions, source, SLURM job, command."""

import functools
import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

PACKAGES = (
    *("video-token-harness", "torch", "torchvision", "timm", "fvcore", "numpy", "deepspeed", "tensorboard"),
    *("decord", "opencv-python-headless", "av", "safetensors", "submitit"),
)

CODE = ("harness", "models", "jobs", "results")
"""The folders whose code can alter a value."""

SLURM_NAMES = (
    *("SLURM_CLUSTER_NAME", "SLURM_JOB_PARTITION", "SLURM_JOB_ID"),
    *("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT"),
    *("SLURM_JOB_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURMD_NODENAME"),
)


def utc_now() -> str:
    """Return the time as ISO 8601 text in UTC, whose alphabetical order is that of time."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def age_s(text: Any) -> float:
    """Return the seconds since a time in ISO 8601, or until it by another machine's clock; endless where it is none."""
    try:
        return abs((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return float("inf")


def node_name() -> str:
    """Return SLURM's name of this host, that of the host outside SLURM."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def cores() -> int:
    """Return how many CPU cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def collect() -> dict[str, Any]:
    """Return all of it as one JSON-ready dict: machine, versions, git, slurm, command, python.

    The GPU is named only where this process has imported torch and can use CUDA.
    """
    return {
        "machine": machine(),
        "versions": versions(),
        "git": git_state(),
        "slurm": slurm_ids(),
        "command": shlex.join(sys.orig_argv),
        "python": platform.python_version(),
    }


def machine() -> dict[str, Any]:
    """Return host, system, CPU model, cores this process may use, memory in bytes, and the GPU in use."""
    found: dict[str, Any] = {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory": psutil.virtual_memory().total,
        "gpu": None,
        "gpus": 0,
        "gpu_memory": None,
        "driver": None,
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            device = torch.cuda.get_device_properties(torch.cuda.current_device())
            found |= {
                "gpu": device.name,
                "gpus": torch.cuda.device_count(),
                "gpu_memory": device.total_memory,
                "driver": _driver_version(),
            }
    return found


@functools.cache
def versions() -> dict[str, str]:
    """Return the installed version of each package that can alter a value."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def git_state() -> dict[str, Any]:
    """Return the source tree's commit, and whether anything in it was changed, or added to its code; what a user keeps
    beside it, tables and profiles say, alters no value without standing in its record.

    Both are None outside a checkout. The answer is kept, since what runs is the code as it was when this
    process first asked.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    commit = _output("git", "-C", str(root), "rev-parse", "--verify", "HEAD")
    tracked = _output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    added = _output("git", "-C", str(root), "status", "--porcelain", "--", *CODE)
    unknown = commit is None or tracked is None or added is None
    return {"commit": commit, "dirty": None if unknown else bool(tracked or added)}


def slurm_ids() -> dict[str, str]:
    """Return what SLURM says of this task, {"job_id": "17", "array_task_id": "3"} say; {} outside SLURM."""
    names = [name for name in SLURM_NAMES if name in os.environ]
    return {name.removeprefix("SLURM_").removeprefix("SLURMD_").lower(): os.environ[name] for name in names}


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _driver_version() -> str | None:
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        text = ""
    found = re.search(r"^NVRM version:.*?\s(\d{3,}\.\d+(?:\.\d+)?)\s", text, re.MULTILINE)
    if found:
        return found[1]
    lines = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return lines.splitlines()[0] if lines else None


def _output(*command: str) -> str | None:
    """Return what a command prints, None if it is missing, fails or takes too long."""
    if not shutil.which(command[0]):
        return None
    # Inside a hook, git's own variables point at another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=environment)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
