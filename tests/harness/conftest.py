"""Fixtures of the control plane's tests: a scheduler on PATH, and a clean slate between tests."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.checking import inputs
from harness.running import job_files, queue
from tests.harness import fake_slurm
from tests.harness.place import Place


class Slurm:
    """The fake scheduler's folder, as a test steers it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    def set_state(self, job: str, state: str) -> None:
        self.put(f"{job}.state", state)
        queue._answers = queue._Answers()

    def state(self, job: str) -> str:
        return (self.folder / f"{job}.state").read_text()

    @property
    def scripts(self) -> list[str]:
        """What was submitted, in order."""
        return [path.read_text() for path in sorted(self.folder.glob("*.sh"))]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    commands, folder = tmp_path / "bin", tmp_path / "slurm"
    commands.mkdir()
    folder.mkdir()
    fake_slurm.install(commands)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    monkeypatch.setattr(queue, "POLL_S", 0.2)
    yield Slurm(folder)
    for path in folder.glob("*.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(path.read_text()), signal.SIGKILL)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No answer of an earlier test's scheduler, no profile of the user's, a working folder of one's own; and weights
    are not looked at (it takes torch), as those of most profiles here are none."""
    monkeypatch.setattr(job_files, "problems_of_weights", lambda jobs: {})
    monkeypatch.setattr(inputs, "problems_of_weights", lambda jobs: {})
    monkeypatch.setattr(queue, "_answers", queue._Answers())
    monkeypatch.delenv("HARNESS_PROFILE", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where everything has been measured, by a driver that did not wait."""
    place = Place(tmp_path_factory.mktemp("swept"))
    done = place.sweep("--no-wait")
    assert done.stdout.startswith("2 cells, 0 done already; 1 task of 1 job on this machine")
    assert done.stderr == ""
    assert done.returncode == 0, done.stderr
    place.wait_until_done()
    return place
