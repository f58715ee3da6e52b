"""What cannot be listed or read is an error or a note: never taken for empty, as if there were nothing to look at."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.running.adoption import adopt
from jobs.spec.sources import edition_of
from jobs.training.restarts import RestartStore
from results.progress import read_job
from results.records import record_ids


def states(folder: Path) -> list[str]:
    kept = object.__new__(RestartStore)
    kept.folder = folder
    return kept._names()


LOOKS: dict[str, Callable[[Path], Any]] = {
    "records": record_ids,
    "a job": lambda folder: read_job(folder, "job"),
    "submissions": adopt,
    "states of a training": states,
}


@pytest.mark.parametrize("what", LOOKS)
def test_a_folder_that_cannot_be_listed_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    LOOKS[what](tmp_path / "nowhere")

    def refuse(*_: Any) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(PermissionError):
        LOOKS[what](tmp_path)


def test_an_edition_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert edition_of(tmp_path / "val.txt") == ""
    (tmp_path / "val.edition").write_bytes(b"\xff\xfe")
    assert edition_of(tmp_path / "val.txt") == "of an edition that cannot be read from val.edition"
