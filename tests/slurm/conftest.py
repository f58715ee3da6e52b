"""A SLURM cluster for the tests: the one that is up already, else one of their own for as long as they run."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.daemons import unable


@pytest.fixture(scope="session")
def own_folder() -> Iterator[Path]:
    """Where to put a cluster: sockets take no long paths, as pytest's temporary folders have.

    Where no cluster can be started the tests are skipped; in CI they fail.
    """
    if reason := unable():
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="harness-slurm-"))
    yield folder
    # Only what a cluster should have removed itself can make this fail.
    folder.rmdir()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    running = Cluster()
    if running.is_up():
        yield running
        return
    own = Cluster(request.getfixturevalue("own_folder") / "tests")
    own.up()
    yield own
    own.down()
