"""How many tasks this machine can run at a time: its cores and GPUs."""

import os
import re
import subprocess

from harness.profiles import Launch
from results.provenance import cores


def lanes(launch: Launch) -> int:
    """How many tasks may run here at a time: no more than there are cores and, if they need one, GPUs for them.

    ValueError where tasks need a GPU and there is none.
    """
    count = max(1, cores() // launch.cpus_per_task)
    if launch.gpus_per_task:
        found = gpus()
        if not found:
            raise ValueError("launch.gpus_per_task is 1, but this machine has no NVIDIA GPU; set it to 0")
        count = min(count, len(found))
    return count


def gpus() -> tuple[int, ...]:
    """The numbers of the GPUs that may be used: those in $CUDA_VISIBLE_DEVICES, else all that nvidia-smi lists."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        if not all(re.fullmatch("[0-9]+", name) for name in names):
            raise ValueError(f"CUDA_VISIBLE_DEVICES={visible}: name the GPUs by number, as in 0,1")
        return tuple(int(name) for name in names)
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(range(len(re.findall(r"^GPU \d+:", listed, re.MULTILINE))))
