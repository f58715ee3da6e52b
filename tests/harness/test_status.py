"""harness.status: what became of the jobs, their logs, and stopping them."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness import status
from jobs.cells import Cell
from jobs.spec import Count
from jobs.task import Cancelled, Task
from results.progress import ProgressWriter, job_folder
from tests.harness.conftest import Slurm
from tests.harness.made import put_job, put_progress

FIRST = Count((Cell("vit_demo", "none", "", "", "gflops"),), "meta")
SECOND = Count((Cell("vit_base", "none", "", "", "gflops"),), "meta")


def main(*arguments: object) -> int:
    return status.main([str(one) for one in arguments])


def rows(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split() for line in text.splitlines()[2:]}


def test_no_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--runs", tmp_path / "nowhere") == 0
    assert capsys.readouterr().out.startswith("no jobs in ")


def test_the_list_says_state_steps_tasks_and_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_job(tmp_path, FIRST, tasks=2)
    put_progress(tmp_path, FIRST.id, 0, state="done", done=4, total=4)
    put_progress(tmp_path, FIRST.id, 1, state="failed", error="it\nbroke", done=1, restarts=2)
    put_job(tmp_path, SECOND)
    me = psutil.Process()
    alive = {"host": os.uname().nodename, "pid": me.pid, "pid_created": me.create_time()}
    put_progress(tmp_path, SECOND.id, **alive, text="loss 1.2")
    assert main("--runs", tmp_path) == 0
    found = rows(capsys.readouterr().out)
    assert found[FIRST.id] == [FIRST.id, "count", "grid", "1", "failed", "5/8", "1/2", "2", "elsewhere", "it", "broke"]
    assert found[SECOND.id][4:8] == ["running", "1/4", "0/1", "0"]
    assert found[SECOND.id][-2:] == ["loss", "1.2"]


def test_jobs_are_chosen_by_table_and_by_the_beginning_of_their_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_job(tmp_path, FIRST)
    put_job(tmp_path, SECOND)
    assert main("--runs", tmp_path, FIRST.id[:6]) == 0
    assert set(rows(capsys.readouterr().out)) == {FIRST.id}
    assert main("--runs", tmp_path, "grid") == 0
    assert set(rows(capsys.readouterr().out)) == {FIRST.id, SECOND.id}
    assert main("--runs", tmp_path, "table2") == 2
    assert "error: no job or table 'table2' here; jobs: " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--log", "--cancel"])
def test_a_log_or_a_cancellation_is_of_certain_jobs(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("--runs", tmp_path, option) == 2
    assert "say which jobs to" in capsys.readouterr().err


def test_the_end_of_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_job(tmp_path, FIRST, tasks=2, executor="local", id="12", log="one")
    put_job(tmp_path, SECOND)
    folder = tmp_path / "logs" / "one"
    folder.mkdir(parents=True)
    (folder / "12_0_log.out").write_text("".join(f"line {number}\n" for number in range(100)))
    (folder / "12_0_log.err").write_bytes(b"bytes \xff\n")
    (folder / "process.log").write_text("")
    assert main("--runs", tmp_path, "--log", "--lines", "2", "grid") == 0
    printed = capsys.readouterr().out
    assert "\nline 98\nline 99\n" in printed
    assert "line 97" not in printed
    assert "bytes \ufffd" in printed
    assert printed.count("==>") == 2, "both tasks were of one process"
    assert f"job {SECOND.id} has no log yet" in printed


def test_cancelled_jobs_leave_slurms_queue_and_running_tasks_stop(
    tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]
) -> None:
    for job, number in ((FIRST, "5"), (SECOND, "6")):
        slurm.put(f"{number}.sh")
        slurm.set_state(number, "PENDING")
        put_job(tmp_path, job, executor="slurm", id=number)
    assert main("--runs", tmp_path, "--cancel", FIRST.id) == 0
    assert capsys.readouterr().out == f"job {FIRST.id} is told to stop\n"
    assert (slurm.state("5"), slurm.state("6")) == ("CANCELLED by 0", "PENDING")
    progress = ProgressWriter(tmp_path, FIRST.id)
    with pytest.raises(Cancelled):
        Task(tmp_path, FIRST.id, 0, 1, "demo", progress).check_cancelled()
    progress.finish()
    assert main("--runs", tmp_path, "--cancel", FIRST.id) == 0
    assert capsys.readouterr().out == f"job {FIRST.id} is done already\n"


def test_what_has_ended_is_not_marked_as_cancelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_job(tmp_path, FIRST)
    put_progress(tmp_path, FIRST.id, state="failed")
    assert main("--runs", tmp_path, "--cancel", FIRST.id) == 0
    assert capsys.readouterr().out == f"job {FIRST.id} is failed already\n"
    assert not (job_folder(tmp_path, FIRST.id) / "cancelled").exists()


def test_a_machine_without_scancel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    put_job(tmp_path, FIRST, executor="slurm", id="5")
    assert main("--runs", tmp_path, "--cancel", FIRST.id) == 2
    assert capsys.readouterr().err == "error: scancel: No such file or directory\n"


def test_help_in_a_pipe_that_is_closed() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m harness.status --help | true"], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
