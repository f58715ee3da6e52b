"""Looks at weights before anything is queued: `python -m jobs.node.check_weights`, a separate process, as it needs
torch.

Its arguments are plugin files, whose models it is to know. It reads a JSON list of what `Check` has from standard
input, and prints one of what is wrong with each; "" for nothing.
"""

import json
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass

from jobs.spec.jobs import Evaluate, Job, Train, Visualize
from jobs.spec.plugins import load_plugins


@dataclass(frozen=True)
class Check:
    """Weights, and the model that they are to fit."""

    path: str
    model: str
    num_classes: int
    stride: int | None = None
    """Every how many frames clips take one; None: it does not matter."""
    start: bool = False
    """Whether a training begins with them."""
    new: tuple[str, ...] = ()
    """Of a start: as in `jobs.spec.jobs.Train`, like `unused`."""
    unused: tuple[str, ...] = ()


def check_of(job: Job) -> Check | None:
    """What to check for a job; None if it reads no weights."""
    if isinstance(job, Evaluate | Visualize) and job.checkpoint.path:
        return Check(job.checkpoint.path, job.model, job.dataset.num_classes, job.dataset.trained_stride)
    if isinstance(job, Train) and job.start:
        return Check(job.start.path, job.model, job.dataset.num_classes, None, True, job.new, job.unused)
    return None


def problem(check: Check) -> str:
    """What is wrong with the weights, in a line; empty where nothing is."""
    import torch

    from models import CheckpointError, create_model
    from models.checkpoints import check_checkpoint, check_pretrained

    with torch.device("meta"):
        model = create_model(check.model, num_classes=check.num_classes)
    try:
        if check.start:
            check_pretrained(model, check.path, check.new, check.unused)
        else:
            check_checkpoint(model, check.path, check.stride)
    except CheckpointError as error:
        return str(error)
    return ""


def main() -> int:
    with redirect_stdout(sys.stderr):  # a plugin may print
        load_plugins(sys.argv[1:])
        problems = [problem(Check(**one)) for one in json.load(sys.stdin)]
    print(json.dumps(problems))
    return 0


if __name__ == "__main__":
    sys.exit(main())
