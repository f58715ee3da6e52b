"""For all tests: which files come first, and one thread of arithmetic for each process, as several run at a time."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything loads torch; for the processes of the tests as well

TESTS = Path(__file__).parent
LONGEST = (
    "test_docs.py",
    "test_end_to_end.py",
    "slurm/test_sweep.py",
    "models/test_swin.py",
    "jobs/work/test_train.py",
    "test_table1.py",
    "jobs/work/test_train_reductions.py",
    "jobs/work/test_evaluate.py",
    "jobs/work/test_visualize.py",
    "harness/test_sweep.py",
    "jobs/data/test_pool.py",
    "test_demo.py",
    "browser/test_looks.py",
    "browser/test_accessibility.py",
    "harness/running/test_adoption.py",
    "slurm/test_cluster.py",
    "jobs/data/test_demo.py",
    "harness/following/test_watch.py",
    "results/render/test_plot.py",
    "jobs/work/test_train_stops.py",
)
"""Files that take more than 15 seconds, the longest first: they should not be what the others are waited for with."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    assert all((TESTS / name).exists() for name in LONGEST)
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
