"""The state of tasks that were submitted: running, still waiting, or gone without a report.

A process is looked up by its id and creation time, a SLURM job through squeue, which remembers it for some minutes
after its end, and through sacct where squeue has forgotten it; without accounting squeue and our own files must do.
"""

import re
import socket
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from harness.running.adoption import SETTLE_S
from harness.running.slurm.sinfo import answer
from results.attempts import Entry
from results.progress import JobProgress, TaskProgress, lives
from results.provenance import age_s

GRACE_S = 300.0
"""Seconds that a SLURM job unknown to squeue is given to appear."""
POLL_S, COST = 3.0, 20
"""SLURM's answer is reused for this many seconds, or for this multiple of the time that it took: a busy SLURM is asked
less."""
WAITING = {
    *("PENDING", "RUNNING", "REQUEUED", "CONFIGURING", "COMPLETING", "RESIZING", "SUSPENDED", "SIGNALING", "STOPPED"),
    *("REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "STAGE_OUT", "RESV_DEL_HOLD"),
}


@dataclass(frozen=True)
class Seen:
    """What SLURM says of a job or an array task."""

    state: str
    """As PENDING or OUT_OF_MEMORY, without what may follow."""
    nodes: str = ""
    reason: str = ""
    """Why it is not running (yet), or by whom it was cancelled."""
    exit_code: str = ""
    by: str = "squeue"
    """Who says so."""


@dataclass
class _Answers:
    """What SLURM said last, of which jobs, until when that is good, and who was silent; and which ids were asked for
    since."""

    until: float = float("-inf")
    jobs: frozenset[str] = frozenset()
    states: dict[str, Seen] | None = None
    asked: set[str] = field(default_factory=set)
    silent: tuple[str, ...] = ()
    silent_since: float | None = None


_answers = _Answers()


def state_of(job: JobProgress) -> str:
    """running, queued, failed, cancelled, stopped, lost (it ended without an error message), done, or pending (never
    submitted)."""
    if any(task.state == "running" for task in job.tasks):
        return "running"
    if queued_tasks(job):
        return "queued"
    if job.state in ("submitted", "lost", "stopped") and _was_cancelled(job):
        return "cancelled"
    return "lost" if job.state == "submitted" else job.state


def queued_tasks(job: JobProgress) -> set[int]:
    """The tasks of `job` that do not run and may still start, for the first time or again."""
    waiting = {task.task: job.entries[task.task] for task in job.tasks if task.task in job.entries and _may(job, task)}
    found = {task for task, entry in waiting.items() if _process_lives(entry) or on_its_way(entry)}
    in_slurm = {task: entry for task, entry in waiting.items() if entry.executor == "slurm" and entry.id}
    if in_slurm:
        states = slurm_states([entry.id for entry in in_slurm.values()])
        found |= {task for task, entry in in_slurm.items() if _job_waits(entry, states)}
    return found


def under_way(job: JobProgress) -> bool:
    """Whether some task of the job is running or may still start."""
    return state_of(job) in ("running", "queued")


def fraction(job: JobProgress) -> float | None:
    """How much of a job is done, 0 to 1; tasks that have not begun are taken to be like the others."""
    begun = sum(task.total > 0 for task in job.tasks)
    return job.done / job.total * begun / len(job.tasks) if begun else None


def process_of(entry: Entry) -> tuple[int, float] | None:
    """The process id and creation time of a task's submission, if it is one of this host."""
    started = entry.started
    if entry.executor != "local" or not started or started.host != socket.gethostname() or not started.id.isdigit():
        return None
    return int(started.id), started.created


def on_its_way(entry: Entry) -> bool:
    """Whether nothing is known yet of what the task's submission became."""
    return entry.started is None and age_s(entry.time) < SETTLE_S[entry.executor or "slurm"]


def slurm_states(ids: Iterable[str]) -> dict[str, Seen] | None:
    """The state of jobs and array tasks by their ids, as far as SLURM knows them; None where it does not answer. One
    question to SLURM serves all jobs that are looked at in turn."""
    wanted = set(ids)
    _answers.asked |= wanted
    good = time.monotonic() < _answers.until
    if good and _parents(wanted) <= _answers.jobs:
        return _answers.states
    asked = frozenset(_answers.asked)
    began = time.monotonic()
    jobs = _parents(asked)
    states = _squeue(jobs)
    silent = ["squeue"] if states is None else []
    if unknown := [one for one in asked if one not in (states or {})]:
        ended = _sacct(_parents(unknown))
        silent += ["sacct"] if ended is None else []
        states = states if ended is None else ended | (states or {})
    now = time.monotonic()
    if "squeue" not in silent or all(one in (states or {}) for one in asked):
        _answers.silent_since = None
    elif _answers.silent_since is None:
        _answers.silent_since = now
    _answers.until, _answers.jobs, _answers.states = now + max(POLL_S, COST * (now - began)), jobs, states
    # Answers to other questions stay, or jobs of several arrays in turn would each be asked for again.
    _answers.asked, _answers.silent = set(asked if good else wanted), tuple(silent)
    return states


def look_up(jobs: Iterable[JobProgress]) -> tuple[str, ...]:
    """Ask SLURM of all `jobs` whose own files do not say how they ended, in one question, whose answer those after it
    then have; returns which of its commands, of squeue and sacct, did not answer."""
    open_jobs = [job for job in jobs if not all(has_told(job, task) for task in job.tasks)]
    ids = {entry.id for job in open_jobs for entry in job.entries.values() if entry.executor == "slurm"}
    if ids := ids - {""}:
        slurm_states(ids)
    return _answers.silent if ids else ()


def silence(silent: Sequence[str]) -> str:
    """What it means that those of SLURM's commands do not answer; empty where all do."""
    if len(silent) > 1:
        return f"SLURM does not answer ({', '.join(silent)}): its jobs are assumed to be still queued or running"
    if "sacct" in silent:
        own = "how jobs ended is taken from squeue and from the jobs' own files"
        return f"SLURM's accounting (sacct) does not answer: {own}"
    return "squeue does not answer: states are those of SLURM's accounting (sacct)" if silent else ""


def silent_s() -> float:
    """For how many seconds SLURM has not answered; 0 where it has, or was not asked."""
    return 0.0 if _answers.silent_since is None else time.monotonic() - _answers.silent_since


def has_told(job: JobProgress, task: TaskProgress) -> bool:
    """Whether a task has said itself how its last submission ended."""
    entry = job.entries.get(task.task)
    return task.state in ("done", "failed", "cancelled") and task.submission == (entry.name if entry else "")


def _parents(ids: Iterable[str]) -> frozenset[str]:
    """The jobs that array tasks belong to."""
    return frozenset(one.partition("_")[0] for one in ids)


def _was_cancelled(job: JobProgress) -> bool:
    """Whether a job without a report was cancelled: by harness.status, or in SLURM."""
    noted = any(one.get("how") == "cancelled" for one in job.last_ended.values())
    states = known_states(list(job.entries.values()))
    return job.cancelled or noted or any(one.state == "CANCELLED" for one in states.values())


def _may(job: JobProgress, task: TaskProgress) -> bool:
    """Whether a task may start (again) by itself, as far as its own report goes."""
    entry = job.entries[task.task]
    if task.state == "running" or task.task in job.ended.get(entry.attempt, {}):
        return False
    if task.submission != entry.name:
        return True  # it has not reported since
    # SLURM starts again what was preempted, lost its node, or asked for it.
    return task.state in ("lost", "stopped") and entry.executor == "slurm"


def _process_lives(entry: Entry) -> bool:
    process = process_of(entry)
    return process is not None and lives(*process)


def _sacct(jobs: Iterable[str]) -> dict[str, Seen] | None:
    from submitit.slurm.slurm import SlurmInfoWatcher

    said = answer("sacct", "-o", "JobID,State,NodeList,ExitCode", "--parsable2", "-j", ",".join(sorted(jobs)))
    try:
        found = SlurmInfoWatcher().read_info(said) if said is not None else None
    except (KeyError, ValueError):
        return None
    if found is None:
        return None
    states = {}
    for job, one in found.items():
        state, _, who = one.get("State", "").partition(" ")
        states[job] = Seen(state, one.get("NodeList", ""), who, one.get("ExitCode", ""), "sacct")
    return states


def _squeue(jobs: Iterable[str]) -> dict[str, Seen] | None:
    form = "%i|%T|%N|%r"
    numbers = ",".join(sorted(jobs))
    said = answer("squeue", "--all", "--noheader", "--array", "--states=all", "--format", form, "--jobs", numbers)
    if said is None:
        return None
    found = re.findall(r"^\s*(\d+(?:_\d+)?)\|(\w+)\|([^|\n]*)\|(.*)$", said, re.MULTILINE)
    return {job: Seen(state, nodes.strip(), reason.strip()) for job, state, nodes, reason in found}


def _job_waits(entry: Entry, states: dict[str, Seen] | None) -> bool:
    if states is None:
        return True  # nothing says that it has ended
    if seen := states.get(entry.id):
        # Of a job that slurmctld has lost, accounting never learns the end.
        lost = seen.by == "sacct" and "squeue" not in _answers.silent and age_s(entry.time) > GRACE_S
        return seen.state in WAITING and not lost
    if "squeue" in _answers.silent:
        return True  # accounting may be late
    return age_s(entry.time) < GRACE_S


def known_states(entries: Collection[Entry]) -> dict[str, Seen]:
    """What SLURM says of the tasks among `entries` that it has, by their ids; {} where it says nothing."""
    ids = [entry.id for entry in entries if entry.executor == "slurm" and entry.id]
    states = (slurm_states(ids) or {}) if ids else {}
    return {one: states[one] for one in ids if one in states}
