"""Label lists and weights that jobs will read, looked at before anything is queued: parsed, opened and compared.

A mistake in them would cost a place in the queue, and be made again by every task.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from jobs.data.labels import read_labels
from jobs.node.check_weights import Check, check_of
from jobs.spec.jobs import Dataset, Evaluate, Job, Measure, Train, Visualize
from jobs.spec.plugins import loaded_files

WEIGHTS_S = 900.0
"""How long it may take to read all weights, from a slow file system too."""


def check_files(jobs: Iterable[Job]) -> None:
    """ValueError, in a line, for the first label list or weights with which some job could not do."""
    jobs = list(jobs)
    for dataset in datasets_of(jobs):
        read_labels(dataset.labels, dataset.root, dataset.num_classes, dataset.classes)
    if wrong := next(filter(None, problems_of_weights(jobs).values()), ""):
        raise ValueError(wrong)


def problems_of_weights(jobs: Iterable[Job]) -> dict[Check, str]:
    """What is wrong with each of the jobs' weights; "" for nothing. ValueError where that could not be looked at."""
    checks = list(dict.fromkeys(check for job in jobs if (check := check_of(job))))
    if not checks:
        return {}
    asked = json.dumps([asdict(check) for check in checks])
    names = ", ".join(dict.fromkeys(check.path for check in checks))
    try:
        command = [sys.executable, "-m", "jobs.node.check_weights", *loaded_files()]
        done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=WEIGHTS_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise ValueError(f"the weights {names} could not be checked: {error}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ValueError(f"the weights {names} could not be checked: {last}")
    return dict(zip(checks, json.loads(done.stdout), strict=True))


def datasets_of(jobs: Iterable[Job]) -> Iterator[Dataset]:
    """The datasets whose label lists the jobs read, each list once a number of classes and root."""
    seen = set()
    for job in jobs:
        several = [job.dataset] if isinstance(job, Evaluate | Measure | Train | Visualize) else []
        several += [job.evaluate.dataset] if isinstance(job, Train) else []
        for dataset in several:
            if dataset and dataset.labels and (key := (dataset.labels, dataset.root, dataset.num_classes)) not in seen:
                seen.add(key)
                yield dataset
