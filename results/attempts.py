"""What was started of a job: an attempt says which of its tasks went into which submission, written before it is sent.

A submission is one sbatch or one local process, a folder `logs/NAME` of the runs folder. Both files of it and every
attempt are written once and never changed, the first writer wins, so two drivers cannot start the same attempt, and one
that is killed at any moment leaves what the next one needs to look it up.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from results.files import private_folder, read_json, shared, write_json_once

ATTEMPT, ENDED = re.compile(r"attempt-(\d{1,6})\.json"), re.compile(r"ended-(\d{1,6})-(\d{1,6})\.json")
Unit = tuple[str, int]
"""A task of a job: job id and task number."""
Tries = dict[str, int]
"""How many tries went before, by how they ended: `crash`, `timeout`."""


@dataclass(frozen=True)
class Submission:
    """One sbatch, or one local process, and the tasks that it runs."""

    name: str
    """Of its folder in `logs`, unique."""
    executor: str
    """slurm or local."""
    kind: str
    """`array`: a task each; `gang`: a process each, at the same time; `sequence`: one process, one after the other."""
    units: tuple[Unit, ...]
    time: str
    """ISO 8601, UTC."""
    slurm_name: str = ""
    """The name that the job has in SLURM, unique too."""
    time_min: int = 0
    """Its time limit, in minutes."""
    timeouts: int = 0
    """How often it may start itself again after its time limit."""
    after: tuple[tuple[int, float], ...] = ()
    """Local processes, by id and creation time, whose end it waits for."""
    lane: int | None = None
    """The place among the tasks of this machine that it takes (local)."""

    @property
    def array(self) -> int:
        """The length of its array in SLURM; 0 where it is none, as one task alone is not."""
        return len(self.units) if self.kind == "array" and len(self.units) > 1 else 0


@dataclass(frozen=True)
class Started:
    """What a submission became. `id` is SLURM's, or that of the process; empty where it never came to be."""

    id: str
    host: str = ""
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """The last submission of one task, as far as it is known."""

    attempt: int
    submission: Submission | None
    """None where its folder is not there, as after a kill right after the attempt was noted."""
    started: Started | None
    """None until something is known of it."""
    index: int
    """The place of the task in its submission."""
    time: str
    tries: Tries = field(default_factory=dict)
    name: str = ""
    """Of the submission."""

    @property
    def id(self) -> str:
        """The id of this very task in SLURM, or of its process; empty where there is none (yet)."""
        if not self.started or not self.submission:
            return ""
        in_array = self.submission.array and self.started.id
        return f"{self.started.id}_{self.index}" if in_array else self.started.id

    @property
    def executor(self) -> str:
        return self.submission.executor if self.submission else ""

    @property
    def rank(self) -> int:
        """The number of the process within its submission."""
        return self.index if self.submission and self.submission.kind == "gang" else 0


def submission_folder(runs: Path, name: str) -> Path:
    """Where a submission keeps its files and logs."""
    return Path(runs) / "logs" / name


def claim(
    runs: Path, job_id: str, number: int, tasks: Sequence[int], submission: str, time: str, tries: Mapping[int, Tries]
) -> bool:
    """Note the attempt `number` of a job; False where another driver was first."""
    content: dict[str, Any] = {"submission": submission, "time": time, "tasks": list(tasks)}
    content["tries"] = {str(task): tries[task] for task in tasks if tries.get(task)}
    return write_json_once(Path(runs) / "jobs" / job_id / f"attempt-{number}.json", content, durable=False)


def write_submission(runs: Path, submission: Submission) -> None:
    """Note what is about to be sent."""
    folder = private_folder(submission_folder(runs, submission.name))
    write_json_once(folder / "submission.json", asdict(submission))


def write_started(runs: Path, name: str, started: Started) -> Started:
    """Note what a submission became; returns what stands. Whoever knows first says so, and all go by that: what SLURM
    starts although it was withdrawn does not run."""
    if write_json_once(submission_folder(runs, name) / "started.json", asdict(started)):
        return started
    return read_started(runs, name) or started


def read_submission(runs: Path, name: str) -> Submission | None:
    """A submission as noted; None where there is none."""
    return _known(runs, name, "submission.json", _submission)


def read_started(runs: Path, name: str) -> Started | None:
    """What a submission became; None while that is not known."""
    return _known(runs, name, "started.json", _started)


def read_entries(runs: Path, folder: Path, names: Iterable[str]) -> dict[int, Entry]:
    """The last submission of each task of the job in `folder`, which holds files of these `names`."""
    entries: dict[int, Entry] = {}
    for number in sorted(int(found[1]) for name in names if (found := ATTEMPT.fullmatch(name))):
        try:
            content = shared(read_json(folder / f"attempt-{number}.json"))
            name, time = str(content["submission"]), str(content["time"])
            tries = {int(task): {str(how): int(n) for how, n in one.items()} for task, one in content["tries"].items()}
            tasks = [int(task) for task in content["tasks"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        submission, started = read_submission(runs, name), read_started(runs, name)
        places = _places(submission) if submission else {}
        for task in tasks:
            index = places.get((folder.name, task), 0)
            entries[task] = Entry(number, submission, started, index, time, tries.get(task, {}), name)
    return entries


def last_attempt(names: Iterable[str]) -> int:
    """The number of the last attempt among the files of a job's folder; 0 where there is none."""
    return max((int(found[1]) for name in names if (found := ATTEMPT.fullmatch(name))), default=0)


def write_ended(runs: Path, job_id: str, attempt: int, task: int, how: Mapping[str, str]) -> None:
    """Note why a task of an attempt ended without what was wanted of it, as `{"how": …, "text": …, "node": …}`."""
    path = Path(runs) / "jobs" / job_id / f"ended-{attempt}-{task}.json"
    write_json_once(path, dict(how), durable=False)


def read_ended(folder: Path, names: Iterable[str]) -> dict[int, dict[int, dict[str, str]]]:
    """What `write_ended` noted, by attempt and task."""
    found: dict[int, dict[int, dict[str, str]]] = {}
    for attempt, task in sorted((int(one[1]), int(one[2])) for name in names if (one := ENDED.fullmatch(name))):
        with suppress(OSError, ValueError):
            content = read_json(folder / f"ended-{attempt}-{task}.json")
            found.setdefault(attempt, {})[task] = {name: str(text) for name, text in content.items()}
    return found


_kept: dict[tuple[Path, str, str], Any] = {}
_kept_places: dict[str, dict[Unit, int]] = {}


def _known(runs: Path, name: str, file: str, make: Any) -> Any:
    """The result of `make` for a file of a submission, cached, as the file never changes. None where it is not there or
    damaged."""
    key = runs, name, file
    if key not in _kept:
        try:
            _kept[key] = make(read_json(submission_folder(runs, name) / file))
        except (OSError, ValueError, KeyError, TypeError):
            return None
    return _kept[key]


def _submission(content: dict[str, Any]) -> Submission:
    units = tuple((str(job), int(task)) for job, task in content.pop("units"))
    after = tuple((int(pid), float(created)) for pid, created in content.pop("after"))
    if content["executor"] not in ("slurm", "local") or content["kind"] not in ("array", "gang", "sequence"):
        raise ValueError("not of this version")
    return Submission(units=units, after=after, **content)


def _started(content: dict[str, Any]) -> Started:
    return Started(str(content["id"]), str(content.get("host", "")), float(content.get("created", 0.0)))


def _places(submission: Submission) -> dict[Unit, int]:
    if submission.name not in _kept_places:
        _kept_places[submission.name] = {unit: place for place, unit in enumerate(submission.units)}
    return _kept_places[submission.name]
