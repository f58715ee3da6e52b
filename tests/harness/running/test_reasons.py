"""Why a job ended, in one line, whoever knows it."""

from pathlib import Path

import pytest

from harness.running import queue
from harness.running.queue import state_of
from harness.running.retries import Verdict, reason
from results.attempts import write_ended
from results.progress import read_job
from tests.harness.made import put_attempt
from tests.harness.running.test_retries import evaluation, how


@pytest.mark.parametrize(
    ("found", "tries", "expected"),
    [
        ([("crash", "its node failed")], [{}], "its node failed"),
        ([("crash", "its node failed")], [{"crash": 1, "timeout": 1}, {}], "its node failed; 3 tries"),
        ([("error", "no such model")], [{"crash": 1}], "no such model"),
        (
            [("crash", "another process of this training has ended"), ("crash", "the loss is nan")],
            [{}],
            "the loss is nan",
        ),
        ([("void", "it was never submitted"), ("crash", "its node failed")], [{}], "its node failed"),
        ([("crash", "its node failed"), ("timeout", "it reached its limit")], [{}], "it reached its limit"),
        ([("timeout", "it reached its limit"), ("error", "no such model")], [{}], "no such model"),
        ([("error", "no such model"), ("cancelled", "cancelled")], [{}], "cancelled"),
    ],
)
def test_the_one_reason_of_several(found: list[tuple[str, str]], tries: list[dict[str, int]], expected: str) -> None:
    assert reason({task: Verdict(*one) for task, one in enumerate(found)}, tries) == expected


def test_a_noted_end_needs_no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "answer", lambda *_: None)
    job = evaluation(tmp_path)
    put_attempt(tmp_path, job.id, [0], "slurm", "7")
    assert state_of(read_job(tmp_path, job.id)) == "queued"
    write_ended(tmp_path, job.id, 1, 0, Verdict("preempted", "it was preempted").noted())
    assert state_of(read_job(tmp_path, job.id)) == "lost"
    assert how(tmp_path, job.id) == [(0, "preempted", "it was preempted")]
    put_attempt(tmp_path, job.id, [0], "slurm", "8")
    assert state_of(read_job(tmp_path, job.id)) == "queued", "that was of an earlier attempt"
