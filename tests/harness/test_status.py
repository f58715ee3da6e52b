"""harness.status: how far jobs are and why they ended, which of them are meant, their logs, and stopping them."""

import json
from pathlib import Path

import pytest

from harness.following import listing
from jobs.spec.jobs import Count
from results.attempts import write_ended
from results.progress import read_progress
from tests.harness.conftest import Slurm
from tests.harness.following.jobs import BOTH, FIRST, SECOND, alive, main, put_array, rows
from tests.harness.made import put_attempt, put_job, put_progress


def test_no_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--runs", tmp_path / "nowhere") == 0
    assert capsys.readouterr().out.startswith("no jobs in ")


def test_the_list_says_state_steps_tasks_and_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_job(tmp_path, FIRST, tasks=2)
    put_progress(tmp_path, FIRST.id, 0, state="done", done=4, total=4)
    put_progress(tmp_path, FIRST.id, 1, state="failed", error="it\nbroke", done=1, restarts=2)
    put_job(tmp_path, SECOND)
    put_progress(tmp_path, SECOND.id, **alive(node="node7"), text="loss 1.2")
    assert main("--runs", tmp_path) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == "2 jobs: 1 running on 1 node, 1 failed"
    found = rows(printed)
    assert list(found) == [SECOND.id, FIRST.id], "what runs comes first"
    cells = ["vit_demo/none", "gflops"]
    assert found[FIRST.id][:10] == [FIRST.id, "count", "grid", *cells, "failed", "5/8", "62", "%", "1/2"]
    assert found[FIRST.id][10] == "2"
    assert found[FIRST.id][-2:] == ["it", "broke"]
    assert found[SECOND.id][5:10] == ["running", "1/4", "25", "%", "0/1"]
    assert found[SECOND.id][-4:] == ["on", "node7;", "loss", "1.2"]


def test_steps_of_tasks_that_have_not_begun_are_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_job(tmp_path, FIRST, tasks=4)
    put_progress(tmp_path, FIRST.id, 0, **alive(done=5, total=10))
    assert main("--runs", tmp_path) == 0
    assert "5/~40 12 %" in capsys.readouterr().out


def test_a_terminal_of_100_columns(tmp_path: Path) -> None:
    put_job(tmp_path, BOTH, tasks=3)
    put_progress(tmp_path, BOTH.id, 0, state="failed", error="no room " * 60, done=10, total=1000, restarts=1)
    put_job(tmp_path, FIRST)
    (failed, _), _ = listing.lines(read_progress(tmp_path), tmp_path)
    text = listing.table([failed], 100).splitlines()
    assert max(map(len, text)) <= 100
    assert text[2].split()[0] == BOTH.id[:8]
    assert text[2].endswith("vit_large 2 cells")
    assert text[3].startswith("  started again once; no room")
    assert (len(text), text[-1][-1]) == (6, "…")
    assert all(len(line) <= 80 for line in listing.table([failed], 80).splitlines())


@pytest.mark.parametrize(
    ("state", "said"),
    [("PENDING", "queued (Priority)"), ("RUNNING", "queued (starting on node1)"), ("REQUEUED", "queued (requeued)")],
)
def test_why_a_job_waits(
    tmp_path: Path, slurm: Slurm, state: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put_array(tmp_path, slurm, FIRST, "5", state)
    assert main("--runs", tmp_path) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 job: 1 queued\n")
    assert said in printed


def test_tasks_that_wait_while_others_run(tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]) -> None:
    name = put_array(tmp_path, slurm, FIRST, "5", "RUNNING", "PENDING", "PENDING")
    put_progress(tmp_path, FIRST.id, submission=name, node="node1")
    assert main("--runs", tmp_path) == 0
    assert "on node1; 2 tasks wait (Priority)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("down", "said"),
    [
        (("sacct",), "SLURM's accounting (sacct) does not answer: how jobs ended is taken from squeue and from"),
        (("squeue",), "squeue does not answer: states are those of SLURM's accounting (sacct)"),
        (("sacct", "squeue"), "SLURM does not answer (squeue, sacct)"),
        ((), ""),
    ],
)
def test_a_slurm_that_does_not_answer(
    tmp_path: Path, slurm: Slurm, down: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put_array(tmp_path, slurm, FIRST, "5", "COMPLETED")
    for name in ("forget", *(f"{one}_down" for one in down)):
        slurm.put(name)
    assert main("--runs", tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(said)


def test_slurm_is_asked_once_for_all_jobs(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for job, number in ((FIRST, "5"), (SECOND, "6"), (BOTH, "7")):
        put_array(tmp_path, slurm, job, number, "PENDING")
    asked: list[str] = []

    def ask(*command: str) -> str:
        asked.append(command[0])
        return "5|PENDING||Priority\n"

    monkeypatch.setattr("harness.running.queue.answer", ask)
    assert main("--runs", tmp_path) == 0
    assert asked == ["squeue", "sacct"]


def test_why_a_job_ended(tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]) -> None:
    """As a driver has noted it; where there was none, as SLURM says; and where nobody does, as its log ends."""
    put_job(tmp_path, FIRST)
    put_attempt(tmp_path, FIRST.id, [0], "slurm", "4", tries={0: {"crash": 2}})
    write_ended(tmp_path, FIRST.id, 1, 0, {"how": "crash", "text": "it ran out of the 40 GB of launch.mem_gb on node2"})
    slurm.put("4.sh")
    slurm.set_state("4", "OUT_OF_MEMORY")
    put_array(tmp_path, slurm, SECOND, "5", "NODE_FAIL")
    name = put_array(tmp_path, slurm, BOTH, "6", "FAILED")
    (tmp_path / "logs" / name / "6_0_log.err").write_text("import\n\nslurmstepd: error:\x1b Killed\n")
    assert main("--runs", tmp_path) == 0
    found = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[2:]}
    assert found[FIRST.id].endswith(" it ran out of the 40 GB of launch.mem_gb on node2; 3 tries")
    assert found[SECOND.id].endswith(" its node failed on node1")
    assert found[BOTH.id].endswith(
        "it ended without an error message: SLURM says FAILED on node1; its log ends: "
        "import / slurmstepd: error:\\x1b Killed"
    )


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_job(tmp_path, BOTH, tasks=2)
    put_progress(tmp_path, BOTH.id, state="failed", error="it broke")
    assert main("--runs", tmp_path, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found.pop("seconds") < 60
    assert found == {
        **{"job": BOTH.id, "kind": "count", "tables": ["grid"], "cells": "vit_large 2 cells", "state": "failed"},
        **{"waits_for": "", "done": 1, "total": 8, "guessed": True, "tasks_done": 0, "tasks": 2, "tasks_waiting": 0},
        **{"restarts": 0, "nodes": [], "text": "it broke"},
    }


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (FIRST.id, [FIRST]),
        (FIRST.id[:6], [FIRST]),
        ("grid", [FIRST, SECOND, BOTH]),
        ("some/where/grid.toml", [FIRST, SECOND, BOTH]),
        (SECOND.record_id(SECOND.cells[0]), [SECOND]),
        (BOTH.record_id(BOTH.cells[1])[:6], [BOTH]),
        ("none", [FIRST, SECOND]),
        ("vit_large", [BOTH]),
        ("sta:r=48", [BOTH]),
        ("sta:r=48,at=1-9-17", [BOTH]),  # another spelling of it
        ("vit_large/sta:r=64/gflops", [BOTH]),
        ("71", [SECOND]),
        ("72_1", [BOTH]),
    ],
)
def test_which_jobs_are_meant(
    tmp_path: Path, word: str, expected: list[Count], capsys: pytest.CaptureFixture[str]
) -> None:
    for job, number, tasks in ((FIRST, "7", 1), (SECOND, "71", 1), (BOTH, "72", 2)):
        put_job(tmp_path, job, tasks=tasks, executor="slurm", id=number)
        for task in range(tasks):
            put_progress(tmp_path, job.id, task, state="done")
    assert main("--runs", tmp_path, word) == 0
    assert set(rows(capsys.readouterr().out)) == {job.id for job in expected}


@pytest.mark.parametrize("word", ["table2", "", "vit_large/sta:r=80", "vit_demo/sta:r=48", "/"])
def test_a_word_that_names_nothing(tmp_path: Path, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    put_job(tmp_path, FIRST)
    put_job(tmp_path, BOTH)
    assert main("--runs", tmp_path, word) == 2
    ids = ", ".join(sorted([FIRST.id, BOTH.id]))
    error = f"error: no job, table, record or cell {word!r} here; tables: grid; jobs: {ids}\n"
    assert capsys.readouterr().err == error


@pytest.mark.parametrize("option", ["--log", "--cancel"])
def test_a_log_or_a_cancellation_is_of_certain_jobs(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("--runs", tmp_path, option) == 2
    assert "say which jobs to" in capsys.readouterr().err


def test_the_end_of_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_job(tmp_path, FIRST, tasks=2, executor="local", id="12", name="one")
    put_job(tmp_path, SECOND)
    folder = tmp_path / "logs" / "one"
    (folder / "12_0_log.out").write_text("".join(f"line {number}\n" for number in range(100)))
    (folder / "12_0_log.err").write_bytes(b"bytes \xff\n")
    (folder / "process.log").write_text("")
    assert main("--runs", tmp_path, "--log", "--lines", "2", "grid") == 0
    printed = capsys.readouterr().out
    assert f"==> {folder / '12_0_log.out'} (job {FIRST.id}, task 0)\nline 98\nline 99\n" in printed
    assert "bytes \ufffd" in printed
    assert printed.count("==>") == 2, "both tasks were of one process"
    assert f"job {SECOND.id} has no log yet" in printed


@pytest.mark.parametrize(("kind", "names"), [("array", ("9_{}_0", "9_2_0")), ("gang", ("9_{}", "9_2"))])
def test_the_log_of_the_task_that_failed_first_comes_first(
    tmp_path: Path, kind: str, names: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = put_job(tmp_path, FIRST, tasks=4, executor="slurm", id="9", kind=kind)
    for task in range(4):
        (tmp_path / "logs" / name / f"{names[0].format(task)}_log.err").write_text(f"task {task}\n")
        peer = {"error": "another process of this training has ended", "updated": f"2026-01-01T00:00:0{task}+00:00"}
        put_progress(tmp_path, FIRST.id, task, state="failed", submission=name, **peer)
    own = {"error": "disk full", "updated": "2026-01-01T00:00:09+00:00"}
    put_progress(tmp_path, FIRST.id, 2, state="failed", submission=name, **own)
    assert main("--runs", tmp_path, "--log", FIRST.id) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"==> {tmp_path / 'logs' / name / names[1]}_log.err (job {FIRST.id}, task 2)\ntask 2\n")
    assert printed.count("==>") == 4
