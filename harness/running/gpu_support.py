"""Whether the installed PyTorch has code for the GPUs that tasks will run on: asked before anything is submitted."""

import re
import subprocess
import sys

from harness.planning.lanes import gpus
from harness.profiles import Profile
from jobs.node.gpu_code import missing_code

ASK = "import torch; print(torch.__version__, getattr(torch._C, '_cuda_getArchFlags', str)())"
"""torch.cuda.get_arch_list() names none where there is no GPU, as on the machine that submits."""
ASK_S = 60.0


def check_gpu_code(profile: Profile) -> str:
    """ValueError where the installed PyTorch has no code for the profile's GPUs, with the remedy. Returns what is to be
    said where that could not be looked at, empty where it was."""
    launch = profile.launch
    wanted, source = ([launch.gpu_arch], "launch.gpu_arch") if launch.gpu_arch else (None, "nvidia-smi")
    if wanted is None and launch.executor != "local":
        return "launch.gpu_arch is not set, as sm_70: whether PyTorch has code for the GPUs was not checked"
    wanted = _archs_here() if wanted is None else wanted
    installed = installed_torch()
    silent = (
        "nvidia-smi does not list the GPUs here" if not wanted else "PyTorch does not say which GPUs it is built for"
    )
    if not wanted or installed is None:
        return f"{silent}: whether the installed PyTorch has code for the GPUs was not checked"
    version, codes = installed
    for arch in wanted:
        if problem := missing_code(arch, version, codes):
            raise ValueError(f"profile {profile.name} runs on {arch} ({source}), and {problem}")
    return ""


def installed_torch() -> tuple[str, list[str]] | None:
    """The version of the PyTorch that tasks will import and what GPUs it has code for; None where it does not say."""
    try:
        done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, timeout=ASK_S)
        version, *codes = done.stdout.split()
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return version, codes


def _archs_here() -> list[str]:
    """The compute capabilities of this machine's GPUs that may be used, as far as nvidia-smi says."""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
    found = [re.fullmatch(r"\s*(\d+)\.(\d+)\s*", line) for line in lines]
    used = [found[number] for number in gpus() if number < len(found)]
    return [f"sm_{one[1]}{one[2]}" for one in used if one]
