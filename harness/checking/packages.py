"""Whether what tasks import is there, has code for the GPUs, and finds the cores that it asks for."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence

from harness.planning.lanes import lanes
from harness.planning.plan import Plan
from harness.profiles import Profile
from harness.running.findings import Finding, ok, unknown, warning, wrong
from harness.running.gpu_support import check_gpu_code
from jobs.spec.jobs import Train

IMPORT_S = 180.0
"""How long packages may take to import, from a slow network file system too."""
IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        print("imported", name, importlib.import_module(name).__version__, flush=True)
    except Exception as error:
        print("missing", name, type(error).__name__, error, flush=True)
"""


def check_cores(profile: Profile, plan: Plan, gangs: Sequence[Train]) -> Iterator[Finding]:
    """Cores of a task against its decoder processes and at least one thread for the model."""
    cpus = profile.launch.cpus_per_task
    kinds = [("evaluate", profile.evaluate.decoders)] if len(gangs) < len(plan.jobs) else []
    kinds += [("train", profile.train.decoders)] if gangs else []
    for section, decoders in kinds:
        if decoders >= cpus and profile.launch.executor == "slurm":
            all_of = f"{section}.decoders = {decoders} takes all of launch.cpus_per_task = {cpus}"
            yield warning("cores", f"{all_of}, and leaves no core for the model; ask for {decoders + 1}")
        else:
            split = f"{section}.decoders = {decoders}, and the model has {max(1, cpus - decoders)}"
            yield ok("cores", f"of launch.cpus_per_task = {cpus}: {split}")
    if profile.launch.executor == "local":
        try:
            yield ok("machine", f"{lanes(profile.launch)} tasks run here at a time")
        except ValueError as error:
            yield wrong("machine", str(error))


def check_packages(profile: Profile, gangs: Sequence[Train]) -> Iterator[Finding]:
    """Whether what tasks import is there, and PyTorch has code for the GPUs."""
    # decord brings libraries of its own, which may conflict with those of others.
    for names in (("torch", "timm", *["deepspeed"] * bool(gangs)), ("decord",)):
        try:
            done = subprocess.run(
                [sys.executable, "-c", IMPORT, *names], capture_output=True, text=True, timeout=IMPORT_S
            )
        except (OSError, subprocess.SubprocessError):
            yield wrong("packages", f"{', '.join(names)}: not imported by {sys.executable} in {IMPORT_S:g} s")
            continue
        found = dict(re.findall(r"^imported (\w+) (\S+)$", done.stdout, re.MULTILINE))
        if found:
            yield ok("packages", ", ".join(f"{name} {version}" for name, version in found.items()))
        errors = dict(re.findall(r"^missing (\w+) (.*)$", done.stdout, re.MULTILINE))
        for name in names:
            if name not in found:
                why = errors.get(name, f"the process ended with exit code {done.returncode}")
                yield wrong("packages", f"{name} cannot be imported by {sys.executable}: {why}")
    if profile.launch.gpus_per_task:
        try:
            note = check_gpu_code(profile)
        except ValueError as error:
            yield wrong("GPU code", str(error))
            return
        unset = profile.launch.executor == "slurm" and not profile.launch.gpu_arch
        if note:
            yield (warning if unset else unknown)("GPU code", note)
        else:
            yield ok("GPU code", f"PyTorch has code for {profile.launch.gpu_arch or 'the GPUs here'}")
