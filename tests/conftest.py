"""For all tests: which files come first, and one thread of arithmetic for each process, as several run at a time."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything loads torch; for the processes of the tests as well

TESTS = Path(__file__).parent
LONGEST = (
    "slurm/test_sweep.py",
    "test_end_to_end.py",
    "jobs/test_train.py",
    "test_table1.py",
    "jobs/test_evaluate.py",
    "test_demo.py",
    "harness/test_sweep.py",
    "jobs/data/test_pool.py",
    "harness/test_adoption.py",
    "harness/test_watch.py",
    "slurm/test_cluster.py",
    "jobs/test_train_stops.py",
    "jobs/data/test_samples.py",
    "jobs/data/test_demo.py",
)
"""Files that take more than 15 seconds, the longest first: they should not be what the others are waited for with."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
