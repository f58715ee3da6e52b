"""Why tasks failed, and which of them are started again."""

import pwd
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from harness.profiles import Launch
from harness.running.queue import WAITING, Seen, has_told, known_states, queued_tasks, under_way
from results.attempts import Entry, Tries
from results.progress import PEER_LOST, JobProgress, TaskProgress

CRASH, TIMEOUT, PREEMPTED, CANCELLED, ERROR, VOID = "crash", "timeout", "preempted", "cancelled", "error", "void"
ENDED_BADLY = ("failed", "lost", "stopped", "cancelled")
"""States of jobs that have ended otherwise than done."""
_TELLING = (CANCELLED, ERROR, TIMEOUT, CRASH, PREEMPTED, VOID)
"""Of several ends of tasks, the first of these explains the job's best."""


@dataclass(frozen=True)
class Verdict:
    """How a task ended. Only crashes and time-outs are counted; what was cancelled or needs the user is final."""

    how: str
    """crash, timeout, preempted, cancelled, error, or void (it never came to be)."""
    text: str
    node: str = ""

    def noted(self) -> dict[str, str]:
        """As it is kept in the job's folder."""
        return {"how": self.how, "text": self.text, "node": self.node}


def verdicts(job: JobProgress, launch: Launch) -> dict[int, Verdict]:
    """How each task of a job ended that no longer runs or waits, but for those that are done. A task's own word comes
    first: SLURM shows a job as running or completing for a while after its task has ended."""
    waiting = queued_tasks(job)
    states = known_states(list(job.entries.values()))
    found = {}
    for task in job.tasks:
        entry = job.entries.get(task.task)
        if not entry:
            if job.entries:
                found[task.task] = Verdict(VOID, "it was never submitted")
        elif has_told(job, task):
            if task.state != "done":
                found[task.task] = _own_word(task)
        elif task.state != "running" and task.task not in waiting:
            seen = states.get(entry.id)
            still = seen is not None and seen.state in WAITING
            if verdict := _noted(job, task) or (None if still else _verdict(task, entry, seen, launch)):
                found[task.task] = verdict
    if not found and not under_way(job) and job.entries:
        # On a network file system each of the last two may have missed the other's end.
        found[min(job.entries)] = Verdict(CRASH, "all of its tasks ended without writing the records")
    return found


def again(job: JobProgress, found: Mapping[int, Verdict], launch: Launch) -> dict[int, Tries]:
    """The tasks to start again, and the tries that went before. None of a job of which a task must not be; a gang
    starts as a whole, once all of it has ended."""
    gang = job.job.get("kind") == "train"
    final = job.cancelled or any(verdict.how in (CANCELLED, ERROR) for verdict in found.values())
    if final or (gang and under_way(job)):
        return {}
    counted: dict[int, Tries] = {}
    for number, verdict in found.items():
        tries = dict(job.entries[number].tries) if number in job.entries else {}
        if verdict.how in (CRASH, TIMEOUT):
            tries[verdict.how] = tries.get(verdict.how, 0) + 1
        counted[number] = tries
    if gang and counted:
        most = {how: max(tries.get(how, 0) for tries in counted.values()) for how in (CRASH, TIMEOUT)}
        before = {how: count for how, count in most.items() if count}
        counted = dict.fromkeys(range(len(job.tasks)), before)
    limits = {CRASH: launch.retries, TIMEOUT: launch.timeouts}
    if any(tries.get(how, 0) > limit for tries in counted.values() for how, limit in limits.items()):
        return {}
    return counted


def reason(found: Mapping[int, Verdict], tries: Collection[Tries]) -> str:
    """The one line that says why a job ended: what others of a gang say of it counts less."""
    first = min(found.values(), key=lambda verdict: (_TELLING.index(verdict.how), of_a_peer(verdict.text)))
    before = max((sum(one.values()) for one in tries), default=0)
    return f"{first.text}; {before + 1} tries" if before and first.how in (CRASH, TIMEOUT) else first.text


def why(job: JobProgress, launch: Launch) -> str:
    """Why a job ended that did not end well, in one line: as a driver noted it, as its tasks say, or as SLURM says now;
    empty where nobody knows."""
    if job.cancelled and job.state != "failed":
        return "cancelled"
    found = {task.task: _own_word(task) for task in job.tasks if has_told(job, task) and task.state != "done"}
    noted = {task.task: verdict for task in job.tasks if (verdict := _noted(job, task))}
    found = noted | found
    if not found and not job.error:
        found = verdicts(job, launch)
    text = reason(found, [entry.tries for entry in job.entries.values()]) if found else job.error
    return " ".join(text.split())


def wordless(text: str) -> bool:
    """Whether a reason only says that none is known, so that the logs should be searched."""
    return not text or "without an error message" in text or "left no error message" in text


def interrupted(job: JobProgress) -> bool:
    """Whether a job was stopped from the terminal, by Ctrl-C, and the same command resumes it."""
    return any(task.state == "stopped" and "SIGINT" in task.error for task in job.tasks)


def of_a_peer(text: str) -> bool:
    """Whether a task of a gang failed because another one had ended."""
    return PEER_LOST in text


def _noted(job: JobProgress, task: TaskProgress) -> Verdict | None:
    """What a driver found out of the last attempt of a task, which is not done."""
    entry = job.entries.get(task.task)
    noted = job.ended.get(entry.attempt, {}).get(task.task, {}) if entry else {}
    if noted.get("how") not in _TELLING or task.state == "done":
        return None
    return Verdict(noted["how"], noted.get("text", ""), noted.get("node", ""))


def _own_word(task: TaskProgress) -> Verdict:
    """What a task has said itself of its end, other than that it is done."""
    if task.state == "cancelled":
        return Verdict(CANCELLED, "cancelled", task.node)
    return Verdict(CRASH if task.retry else ERROR, task.error, task.node)


def _verdict(task: TaskProgress, entry: Entry, seen: Seen | None, launch: Launch) -> Verdict:
    node = task.node if task.submission == entry.name else ""
    if not entry.started:
        return Verdict(
            VOID, "its driver ended while submitting; run the same command to find out what happened to it", node
        )
    if not entry.started.id:
        return Verdict(VOID, "it was never submitted", node)
    if seen:
        return _as_slurm_says(seen, node or seen.nodes, task, entry, launch)
    if task.submission == entry.name and task.state == "stopped":
        return _as_told(task.error, node)
    if entry.executor == "slurm":
        return Verdict(CRASH, "SLURM no longer knows it, and it left no error message", node)
    return Verdict(CRASH, "its process ended without an error message (killed, or out of memory?)", node)


def _as_slurm_says(seen: Seen, node: str, task: TaskProgress, entry: Entry, launch: Launch) -> Verdict:
    on = f" on {node}" if node else ""
    if seen.state == "OUT_OF_MEMORY":
        had = f" (launch.mem_gb = {launch.mem_gb})" if launch.mem_gb else ""
        return Verdict(CRASH, f"it ran out of memory{on}{had}", node)
    if seen.state == "NODE_FAIL":
        return Verdict(CRASH, f"its node failed{on}", node)
    if seen.state in ("TIMEOUT", "DEADLINE"):
        limit = entry.submission.time_min if entry.submission else launch.time_min
        return Verdict(TIMEOUT, f"it reached its time limit of {limit} min{on}", node)
    if seen.state == "PREEMPTED":
        return Verdict(PREEMPTED, f"it was preempted{on}", node)
    if seen.state == "CANCELLED":
        return Verdict(CANCELLED, f"cancelled in SLURM{_by(seen.reason)}", node)
    if task.submission == entry.name and task.state == "stopped":
        return _as_told(task.error, node)
    code = f" with exit code {seen.exit_code}" if seen.exit_code else ""
    return Verdict(CRASH, f"it ended without an error message: SLURM says {seen.state}{code}{on}", node)


def _by(reason: str) -> str:
    """The user in what accounting says of a cancelled job, as `by 1000`."""
    found = re.fullmatch(r"by (\d+)", reason)
    if not found:
        return ""
    try:
        return f" by {pwd.getpwuid(int(found[1])).pw_name}"
    except (KeyError, OverflowError):
        return f" by user {found[1]}"


def _as_told(text: str, node: str) -> Verdict:
    """Of a task that was asked to stop, and was not started again: SIGUSR2 comes before the time limit."""
    return Verdict(TIMEOUT if "SIGUSR2" in text else CRASH, text, node)
