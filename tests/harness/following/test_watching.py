"""harness.status: jobs watched in a pipe and on a terminal, and output that nobody reads to its end."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness.following.jobs import FIRST, alive, main
from tests.harness.made import put_job, put_progress


def test_watching_in_a_pipe_says_what_changes_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_job(tmp_path, FIRST)
    put_progress(tmp_path, FIRST.id, **alive())
    looks = iter([{}, alive(done=2), {}, {"state": "done", "done": 4}])

    def sleep(_: float) -> None:
        if change := next(looks):
            put_progress(tmp_path, FIRST.id, **change)

    monkeypatch.setattr(time, "sleep", sleep)
    assert main("--runs", tmp_path, "--watch") == 0
    lists = capsys.readouterr().out.split("\n\n1 job")
    assert len(lists) == 3
    assert "4/4 100 %" in lists[-1]


def test_whoever_has_seen_enough_of_the_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_job(tmp_path, FIRST)
    put_progress(tmp_path, FIRST.id, **alive())

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    assert main("--runs", tmp_path, "--watch") == 0
    assert main("--runs", tmp_path, "--watch", "table2") == 2


def test_watching_on_a_terminal_redraws_the_list_and_ends(tmp_path: Path) -> None:
    put_job(tmp_path, FIRST)
    put_progress(tmp_path, FIRST.id, **alive(text="loss 1.2"))
    script = "import sys; from harness import status; status.LOOK_S = 0.1; sys.exit(status.main(sys.argv[1:]))"
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    command = [sys.executable, "-c", script, "--watch", "--runs", str(tmp_path)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = _read_until(ours, "loss 1.2")
        put_progress(tmp_path, FIRST.id, **alive(text="loss 0.9"))
        seen += _read_until(ours, "loss 0.9")
        put_progress(tmp_path, FIRST.id, state="done", done=4)
        seen += _read_until(ours, "1 job: 1 done")
        assert process.wait(30) == 0
    os.close(ours)
    assert "\x1b[1A\x1b[2K" in seen, "the lines before are drawn over"


def _read_until(terminal: int, text: str) -> str:
    seen, end = "", time.monotonic() + 30
    while text not in seen:
        assert select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0], seen
        seen += os.read(terminal, 4096).decode(errors="replace")
    return seen


def test_help_in_a_pipe_that_is_closed() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m harness.status --help | true"], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
