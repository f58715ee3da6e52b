"""Fixtures shared by the tests of data."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos in every container, codec and structure of groups of pictures, beside what is to be in them."""
    folder = tmp_path_factory.mktemp("corpus")
    command = [sys.executable, "-m", "tests.jobs.data.corpus", str(folder)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder
