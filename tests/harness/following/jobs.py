"""Jobs that harness.status is asked about, and its command line."""

import os
from pathlib import Path
from typing import Any

import psutil

from harness import status
from jobs.spec.cells import Cell
from jobs.spec.jobs import Count
from tests.harness.conftest import Slurm
from tests.harness.made import put_job

FIRST = Count((Cell("vit_demo", "none", "", "", "gflops"),), "meta")
SECOND = Count((Cell("vit_base", "none", "", "", "gflops"),), "meta")
BOTH = Count(tuple(Cell("vit_large", reduction, "", "", "gflops") for reduction in ("sta:r=48", "sta:r=64")), "meta")


def main(*arguments: object) -> int:
    return status.main([str(one) for one in arguments])


def rows(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split() for line in text[text.index("---") :].splitlines()[1:]}


def alive(**changes: Any) -> dict[str, Any]:
    me = psutil.Process()
    return {"host": os.uname().nodename, "pid": me.pid, "pid_created": me.create_time()} | changes


def put_array(runs: Path, slurm: Slurm, job: Count, number: str, *states: str) -> str:
    """A job as an array of that id in SLURM, whose tasks are in these states; returns its submission's name."""
    slurm.put(f"{number}.sh", f"#SBATCH --array=0-{len(states) - 1}%9\n" if len(states) > 1 else "")
    for task, state in enumerate(states):
        slurm.set_state(f"{number}_{task}" if len(states) > 1 else number, state)
    return put_job(runs, job, tasks=len(states), executor="slurm", id=number)
