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
    "jobs/test_gpu_rehearsal.py",
    "models/test_rivals.py",
    "slurm/test_sites.py",
    "slurm/test_mistakes.py",
    "browser/test_many.py",
    "test_table1.py",
    "jobs/work/test_train.py",
    "test_inputs.py",
    "test_own_methods.py",
    "test_own_family.py",
    "jobs/work/test_evaluate.py",
    "harness/planning/test_plan.py",
    "jobs/work/test_train_reductions.py",
    "harness/running/test_job_files.py",
    "jobs/work/test_visualize.py",
    "slurm/test_cluster.py",
    "jobs/data/test_pool.py",
    "harness/test_sweep.py",
    "jobs/data/test_damage.py",
    "jobs/data/test_corpus.py",
    "harness/running/test_overflow.py",
    "test_demo.py",
    "test_ucf101.py",
)
"""Files that take more than 15 seconds, the longest first: they should not be what the others are waited for with."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    assert all((TESTS / name).exists() for name in LONGEST)
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
