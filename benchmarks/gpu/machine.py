"""What a page's numbers were measured on."""

import platform
import subprocess

import torch

from results.provenance import git_state


def usable() -> bool:
    """Whether PyTorch can use a GPU here."""
    return torch.cuda.is_available()


def machine(device: str) -> dict[str, str]:
    """Card, driver, clocks, versions and commit, by name."""
    found = {
        "device": torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "CUDA": str(torch.version.cuda) if device == "cuda" else "none used",
        "Python": platform.python_version(),
        "commit": str(git_state()["commit"] or "unknown"),
    }
    if device == "cuda":
        major, minor = torch.cuda.get_device_capability()
        found["capability"] = f"sm_{major}{minor}"
        found |= {name.strip(): value.strip() for name, value in _smi().items()}
    return found


def _smi() -> dict[str, str]:
    """What nvidia-smi says; nothing where it is not there."""
    names = "driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "power.limit", "memory.total"
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(names, done.stdout.splitlines()[0].split(","), strict=False))
