"""Provenance says what it can see, without importing torch, and null for the rest."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

from results import provenance


@pytest.fixture(autouse=True)
def fresh():
    provenance.git_state.cache_clear()
    yield
    provenance.git_state.cache_clear()


def test_it_is_json_and_describes_this_machine():
    found = json.loads(json.dumps(provenance.collect()))
    assert set(found) == {"machine", "versions", "git", "slurm", "command", "python"}
    assert found["machine"]["host"]
    assert found["machine"]["cpu"]
    assert found["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert found["machine"]["memory"] > 2**28
    assert found["versions"]["numpy"] == numpy.__version__
    assert shlex.split(found["command"]) == sys.orig_argv


def test_torch_is_not_imported_for_it():
    code = "import sys; from results.provenance import collect; collect(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_gpu_in_use_is_named(monkeypatch):
    cuda = SimpleNamespace(
        is_available=lambda: True,
        current_device=lambda: 0,
        device_count=lambda: 8,
        get_device_properties=lambda device: SimpleNamespace(name="Tesla V100", total_memory=2**35),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, get_num_threads=lambda: 4))
    monkeypatch.setattr(provenance, "_driver_version", lambda: "550.54.15")
    found = provenance.machine()
    expected = {"gpu": "Tesla V100", "gpus": 8, "gpu_memory": 2**35, "driver": "550.54.15", "threads": 4}
    assert expected.items() <= found.items()


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (dvs-builder)",
    ],
)
def test_the_driver_is_read_from_the_kernel_module(monkeypatch, line):
    monkeypatch.setattr(Path, "read_text", lambda path: f"{line}\nGCC version:  gcc version 12.2.0\n")
    assert provenance._driver_version() == "550.54.15"


def git(folder, *words):
    subprocess.run(["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_the_commit_and_whether_the_tree_was_clean(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "results" / "provenance.py"))
    assert provenance.git_state() == {"commit": None, "dirty": None}
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    # A hook's variables must not lead to another repository.
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    provenance.git_state.cache_clear()
    clean = provenance.git_state()
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "harness.toml").write_text("a user's own")
    provenance.git_state.cache_clear()
    assert provenance.git_state() == clean
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "b.py").write_text("2")
    assert provenance.git_state() == clean
    provenance.git_state.cache_clear()
    assert provenance.git_state() == clean | {"dirty": True}
    (tmp_path / "models" / "b.py").unlink()
    (tmp_path / "a.py").write_text("3")
    provenance.git_state.cache_clear()
    assert provenance.git_state() == clean | {"dirty": True}


def test_slurm_ids_come_from_the_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    assert provenance.slurm_ids() == {}
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    monkeypatch.setenv("SLURM_CPU_BIND", "quiet")
    assert provenance.slurm_ids() == {"job_id": "17", "restart_count": "2"}


def test_times_are_utc_and_sort_as_text():
    first, second = provenance.utc_now(), provenance.utc_now()
    assert first <= second
    moment = datetime.fromisoformat(first)
    assert moment.utcoffset() == UTC.utcoffset(None)
    assert len(first) == len("2025-01-02T03:04:05.678+00:00")
