"""Reading jobs again and again: cheap where nothing has changed, and never late where something has."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.following import job_reader
from harness.following.job_reader import JobReader
from jobs.spec.cells import Cell
from jobs.spec.jobs import Count
from results.attempts import Started, write_started
from tests.harness.made import put_job, put_progress

JOB = Count((Cell("vit_demo", "none", "", "", "gflops"),), "meta")


def test_what_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_job(tmp_path, JOB)
    put_progress(tmp_path, JOB.id)
    reader = JobReader(tmp_path)
    first = reader.read(JOB.id)
    assert reader.read_all()[0] is first
    assert reader.read(JOB.id, fresh=True) is not first
    put_progress(tmp_path, JOB.id, done=2)
    assert reader.read(JOB.id).done == 2
    # A task on another host may die without a word.
    monkeypatch.setattr(job_reader, "STALE_S", 0.0)
    assert reader.read(JOB.id) is not reader.read(JOB.id)


def test_what_changes_without_a_file_in_the_folder_is_noticed(tmp_path: Path) -> None:
    name = put_job(tmp_path, JOB, executor="slurm", id=None)
    reader = JobReader(tmp_path)
    assert reader.read(JOB.id).entries[0].id == ""
    write_started(tmp_path, name, Started("5"))
    assert reader.read(JOB.id).entries[0].id == "5"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        created = psutil.Process(process.pid).create_time()
        put_progress(tmp_path, JOB.id, host=os.uname().nodename, pid=process.pid, pid_created=created)
        assert reader.read(JOB.id).state == "running"
        process.kill()
        process.wait()
        assert reader.read(JOB.id).state == "lost"
    assert JobReader(tmp_path / "nowhere").read_all() == []
