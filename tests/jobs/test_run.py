"""What runs on a node: the tasks of a submission, whatever becomes of each."""

from pathlib import Path

import pytest

from results.files import write_json
from results.progress import job_folder, read_job
from tests.jobs.submitted import run_here


def test_one_broken_job_does_not_stop_the_others_of_its_process(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "blocked").write_text("not a folder")
    write_json(job_folder(tmp_path, "empty") / "job.json", {"tasks": 1})
    write_json(job_folder(tmp_path, "stopped") / "job.json", {"tasks": 1, "spec": {}})
    with pytest.raises(RuntimeError, match="3 of 3 tasks are not done: blocked, empty, stopped"):
        run_here(tmp_path, ("blocked", 0), ("empty", 4), ("stopped", 0))
    assert "job.json" in read_job(tmp_path, "stopped").error
    assert (job_folder(tmp_path, "empty") / "progress-4.json").exists()
