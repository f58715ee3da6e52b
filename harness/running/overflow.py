"""Tasks that a limit on submitted jobs leaves no place for yet, and when SLURM is asked again."""

import time
from collections.abc import Collection, Mapping
from dataclasses import replace

from harness.profiles import Launch
from harness.running.queue import queued_tasks
from harness.running.submission import Sent, Start
from results.progress import JobProgress

FIRST_S, LAST_S = 5.0, 600.0
"""Seconds until SLURM is asked again where nothing of ours has ended: ever longer, as others may take all places."""


class Overflow:
    """What waits, by job."""

    def __init__(self, sent: Sent) -> None:
        self.starts: dict[str, Start] = {}
        self.pause_s, self.next = FIRST_S, time.monotonic() + FIRST_S
        self.busy = 0
        self.said = ""
        self.add([], sent)

    @property
    def text(self) -> str:
        """What waits, and why; empty where nothing does."""
        return waits(Sent(waiting=list(self.starts.values()), why=self.said)) if self.starts else ""

    def tasks(self, job_id: str) -> Collection[int]:
        """The tasks of a job that wait."""
        return self.starts[job_id].tasks if job_id in self.starts else ()

    def add(self, tried: Collection[Start], sent: Sent) -> None:
        """Note which of those that were tried have started, and print what waits where that is new."""
        for start in tried:
            self.drop(start.job.id, start.tasks)
        for start in sent.waiting:
            self.starts[start.job.id] = replace(start, tasks={**start.tasks, **self._tries(start.job.id)})
        if sent.waiting and sent.why != self.said:
            self.said = sent.why
            print(self.text, flush=True)

    def drop(self, job_id: str, tasks: Collection[int]) -> None:
        """No longer wait with these tasks of a job."""
        left = {task: tries for task, tries in self._tries(job_id).items() if task not in tasks}
        if left:
            self.starts[job_id] = replace(self.starts[job_id], tasks=left)
        else:
            self.starts.pop(job_id, None)

    def due(self, jobs: Mapping[str, JobProgress], launch: Launch) -> list[Start]:
        """What is to be tried now: at once where something of ours has ended, and without what another driver has
        started. Under launch.parallel only when nothing is under way, as it holds for each array alone."""
        for job_id, start in list(self.starts.items()):
            entries = jobs[job_id].entries
            self.drop(
                job_id, [task for task in start.tasks if task in entries and entries[task].attempt > start.attempt]
            )
            if job_id in self.starts:
                self.starts[job_id].attempt = jobs[job_id].attempt
        if not self.starts:
            return []
        before, self.busy = self.busy, sum(map(_under_way, jobs.values()))
        ended, now = self.busy < before, time.monotonic()
        if (launch.parallel and self.busy) or not (ended or now >= self.next):
            return []
        # SLURM counts a job for some seconds after its end.
        self.pause_s = FIRST_S if ended else min(LAST_S, 2 * self.pause_s)
        self.next = now + self.pause_s
        return list(self.starts.values())

    def _tries(self, job_id: str) -> dict[int, dict[str, int]]:
        return dict(self.starts[job_id].tasks) if job_id in self.starts else {}


def waits(sent: Sent) -> str:
    """What there is to say of tasks that wait."""
    count = sum(len(start.tasks) for start in sent.waiting)
    return f"{count} task{'s wait' if count > 1 else ' waits'} until fewer are submitted: {sent.why}"


def _under_way(job: JobProgress) -> int:
    return len(queued_tasks(job)) + sum(task.state == "running" for task in job.tasks)
