"""The runs folder: one's own and writable, or a line that says what is wrong with it, and nothing noted."""

import os
from pathlib import Path

import pytest

from harness import sweep
from harness.running.launch import check_runs
from tests.harness.place import Place


def test_a_runs_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(tmp_path)
    place.runs.mkdir()
    (place.runs / "jobs").write_text("in the way")
    assert sweep.main(place.arguments()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {place.runs / 'jobs'}: ")


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    check_runs(tmp_path / "deep" / "runs")
    for folder in (tmp_path / "deep", tmp_path / "deep" / "runs"):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o772])
def test_others_who_may_write_there_could_have_our_jobs_run_what_they_like(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    place = Place(tmp_path)
    place.runs.mkdir()
    place.runs.chmod(mode)
    assert sweep.main(place.arguments()) == 2
    whose = f"others can write to {place.runs}, and could make your jobs run their code"
    remedy = "make it yours alone (chown, chmod go-w), or choose another with --runs"
    assert capsys.readouterr() == ("", f"error: {whose}: {remedy}\n")
    assert list(place.runs.iterdir()) == []
    place.runs.chmod(mode & 0o755)
    check_runs(place.runs)


def test_a_folder_that_may_not_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path)
    place.runs.mkdir(0o500)
    if not os.geteuid():  # may write anywhere
        monkeypatch.setattr("os.access", lambda *_: False)
    assert sweep.main(place.arguments()) == 2
    wrong = f"the runs folder {place.runs} is not usable: it cannot be written to; choose another with --runs"
    assert capsys.readouterr() == ("", f"error: {wrong}\n")
    assert list(place.runs.iterdir()) == []


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = "cannot be made: File exists; choose another with --runs"
    with pytest.raises(ValueError, match=message):
        check_runs(tmp_path / "file" / "runs")
