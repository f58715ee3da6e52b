"""Attempts and submissions: the first writer wins, what is damaged or foreign counts as not there."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pytest

from results.attempts import (
    Entry,
    Started,
    Submission,
    claim,
    last_attempt,
    read_ended,
    read_entries,
    read_started,
    read_submission,
    submission_folder,
    write_ended,
    write_started,
    write_submission,
)
from results.files import read_json, write_json

TIME = "2026-01-01T00:00:00.000+00:00"
SUBMISSION = Submission(
    "whole", "slurm", "array", (("job", 0), ("other", 3), ("job", 2)), TIME, "grid~1", 60, 3, ((12, 1.5),), 1
)


def entries(runs, job_id="job"):
    folder = runs / "jobs" / job_id
    return read_entries(runs, folder, [path.name for path in folder.iterdir()])


def test_what_is_written_is_what_is_read(tmp_path):
    assert read_submission(tmp_path, "whole") is None
    assert read_started(tmp_path, "whole") is None
    write_submission(tmp_path, SUBMISSION)
    assert read_submission(tmp_path, "whole") == SUBMISSION
    assert write_started(tmp_path, "whole", Started("7", "node1", 1.5)) == Started("7", "node1", 1.5)
    assert read_started(tmp_path, "whole") == Started("7", "node1", 1.5)
    assert claim(tmp_path, "job", 1, [0, 2], "whole", TIME, {2: {"crash": 1}, 5: {"crash": 9}})
    found = entries(tmp_path)
    assert found == {
        0: Entry(1, SUBMISSION, Started("7", "node1", 1.5), 0, TIME, {}, "whole"),
        2: Entry(1, SUBMISSION, Started("7", "node1", 1.5), 2, TIME, {"crash": 1}, "whole"),
    }
    assert [(one.id, one.executor, one.rank) for one in found.values()] == [("7_0", "slurm", 0), ("7_2", "slurm", 0)]


@pytest.mark.parametrize(
    ("kind", "tasks", "started", "expected"),
    [
        ("array", 1, Started("7"), ("7", 0)),
        ("gang", 2, Started("7"), ("7", 1)),
        ("sequence", 2, Started("812", "here", 1.0), ("812", 0)),
        ("array", 2, Started(""), ("", 0)),
        ("array", 2, None, ("", 0)),
    ],
    ids=["one task is no array", "gang", "local", "never came to be", "not known yet"],
)
def test_the_id_and_rank_of_a_task(kind, tasks, started, expected):
    submission = Submission("one", "slurm", kind, tuple(("job", task) for task in range(tasks)), TIME)
    entry = Entry(1, submission, started, tasks - 1, TIME)
    assert (entry.id, entry.rank) == expected


def test_the_last_attempt_of_a_task_counts(tmp_path):
    assert claim(tmp_path, "job", 1, [0, 1, 2], "one", TIME, {})
    assert claim(tmp_path, "job", 2, [1], "two", TIME, {1: {"crash": 1}})
    assert claim(tmp_path, "job", 10, [2], "ten", TIME, {})
    assert {task: one.name for task, one in entries(tmp_path).items()} == {0: "one", 1: "two", 2: "ten"}
    assert last_attempt(path.name for path in (tmp_path / "jobs" / "job").iterdir()) == 10
    assert last_attempt(["job.json"]) == 0


def test_of_many_who_claim_an_attempt_one_has_it(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda who: claim(tmp_path, "job", 1, [0], f"of-{who}", TIME, {}), range(8)))
    assert won.count(True) == 1
    assert entries(tmp_path)[0].name == f"of-{won.index(True)}"


def test_of_many_who_say_what_a_submission_became_all_go_by_the_first(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        stands = set(pool.map(lambda who: write_started(tmp_path, "one", Started(str(who))), range(8)))
    assert stands == {read_started(tmp_path, "one")}


@pytest.mark.parametrize(
    "content",
    [
        '{"submission": "two", "ti',
        "[]",
        "{}",
        '{"submission": "two", "time": "", "tasks": 3, "tries": {}}',
        '{"submission": "two", "time": "", "tasks": ["a"], "tries": {}}',
        '{"submission": "two", "time": "", "tasks": [0], "tries": []}',
        '{"submission": "two", "time": "", "tasks": [0], "tries": {"0": 3}}',
        '{"submission": "two", "time": "", "tasks": [0]}',
    ],
)
def test_a_damaged_attempt_is_ignored_and_its_number_is_taken(tmp_path, content):
    claim(tmp_path, "job", 1, [0], "one", TIME, {})
    (tmp_path / "jobs" / "job" / "attempt-2.json").write_text(content)
    assert entries(tmp_path)[0].name == "one"
    assert not claim(tmp_path, "job", 2, [0], "two", TIME, {})


def test_foreign_files_are_no_attempts(tmp_path):
    folder = tmp_path / "jobs" / "job"
    claim(tmp_path, "job", 1, [0], "one", TIME, {})
    for name in ("attempt-2.json.tmp", ".attempt-3.x.tmp", "attempt-x.json", "attempt-12345678.json", "attempts"):
        (folder / name).write_text((folder / "attempt-1.json").read_text())
    (folder / "attempt-4.json").mkdir()
    assert [one.attempt for one in entries(tmp_path).values()] == [1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("units"),
        lambda content: content.update(units=[["job"]]),
        lambda content: content.update(units=[["job", "first"]]),
        lambda content: content.update(after=[[1]]),
        lambda content: content.update(surprise=1),
        lambda content: content.update(executor="other"),
        lambda content: content.update(kind=["array"]),
    ],
    ids=["no units", "half a unit", "no number", "half a process", "unknown field", "unknown executor", "no kind"],
)
def test_a_damaged_submission_counts_as_not_there(tmp_path, damage):
    content = asdict(SUBMISSION) | {"name": "one"}
    damage(content)
    write_json(submission_folder(tmp_path, "one") / "submission.json", content)
    assert read_submission(tmp_path, "one") is None
    claim(tmp_path, "job", 1, [0], "one", TIME, {})
    entry = entries(tmp_path)[0]
    assert (entry.submission, entry.executor, entry.id) == (None, "", "")


def test_what_is_damaged_is_read_once_it_is_mended(tmp_path):
    path = submission_folder(tmp_path, "one") / "started.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"id": "7"')
    assert read_started(tmp_path, "one") is None
    write_json(path, {"id": "7"})
    assert read_started(tmp_path, "one") == Started("7")


def test_why_tasks_ended_is_kept_by_attempt(tmp_path):
    folder = tmp_path / "jobs" / "job"
    for attempt, task in ((1, 0), (1, 11), (2, 0)):
        write_ended(tmp_path, "job", attempt, task, {"how": "crash", "text": f"{attempt} {task}", "node": ""})
    write_ended(tmp_path, "job", 1, 0, {"how": "error", "text": "said later", "node": ""})
    (folder / "ended-1-2.json").write_text('{"how"')
    (folder / "ended-1.json").write_text("{}")
    found = read_ended(folder, [path.name for path in folder.iterdir()])
    texts = {(attempt, task): how["text"] for attempt, tasks in found.items() for task, how in tasks.items()}
    assert texts == {(1, 0): "1 0", (1, 11): "1 11", (2, 0): "2 0"}


def test_files_are_for_their_owner_alone(tmp_path):
    write_submission(tmp_path / "runs", SUBMISSION)
    for path in (tmp_path / "runs", submission_folder(tmp_path / "runs", "whole")):
        assert path.stat().st_mode & 0o077 == 0
    assert read_json(submission_folder(tmp_path / "runs", "whole") / "submission.json")["executor"] == "slurm"
