"""What a page's numbers were measured on."""

import platform
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import torch

from results.provenance import git_state


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def usable() -> bool:
    """Whether PyTorch can use a GPU here."""
    return torch.cuda.is_available()


def machine(device: str) -> dict[str, str]:
    """Card, driver, clocks, versions and commit, by name."""
    packages = ("torchvision", "deepspeed", "timm", "decord", "av")
    found = {
        "device": torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "CUDA": str(torch.version.cuda) if device == "cuda" else "none used",
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {_version(name)}" for name in packages),
        "commit": str(git_state()["commit"] or "unknown"),
    }
    if device == "cuda":
        names = "driver_version", "clocks.max.sm", "clocks.max.mem", "power.limit", "memory.total"
        major, minor = torch.cuda.get_device_capability()
        found["capability"] = f"sm_{major}{minor}"
        found |= _smi(names, lambda: None)
    return found


def clocks_during(call: Callable[[], object]) -> str:
    """The GPU's clocks, power and temperature while `call` is made again and again."""
    found = _smi(("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu"), call)
    return ", ".join(f"{name} {value}" for name, value in found.items()) or "nvidia-smi tells no clocks"


def _smi(names: tuple[str, ...], meanwhile: Callable[[], object]) -> dict[str, str]:
    """What nvidia-smi says of these, by name; nothing where it is not there or says nothing."""
    command = ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader"]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            while process.poll() is None:
                meanwhile()
                time.sleep(0.001)
            (line, *_) = process.communicate()[0].splitlines() or [""]
    except OSError:
        return {}
    values = [value.strip() for value in line.split(",")]
    return dict(zip(names, values, strict=True)) if len(values) == len(names) else {}
