"""How far a task is, written to its file while it runs."""

import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from results.files import write_json
from results.progress import job_folder, read_task_file, whole
from results.provenance import node_name, slurm_ids, utc_now

HEARTBEAT_S = 30.0
_WRITE_INTERVAL_S = 1.0


class ProgressWriter:
    """Keeps one task's progress file, and beats in its own thread so that a long step does not look dead.

    A full disk or a network file system that is away never stops the work: `update` drops what it cannot write.
    """

    def __init__(self, runs: Path, job_id: str, task: int = 0, submission: str = "") -> None:
        self.path = job_folder(runs, job_id) / f"progress-{task}.json"
        before = read_task_file(self.path)
        me, now, slurm = psutil.Process(), utc_now(), slurm_ids()
        again = bool(submission) and before.get("submission") == submission
        self._content: dict[str, Any] = {
            "state": "running",
            "done": whole(before, "done"),
            "total": whole(before, "total"),
            "text": "",
            "host": socket.gethostname(),
            "node": node_name(),
            "pid": me.pid,
            "pid_created": me.create_time(),
            "submission": submission,
            "slurm": slurm,
            "started": now,
            "updated": now,
            "error": "",
            "retry": False,
            "restarts": whole(before, "restarts") + 1 if before else 0,
            "timeouts": whole(before, "timeouts") if again else 0,
        }
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._written = 0.0
        self._write()
        threading.Thread(target=self._beat, name="progress", daemon=True).start()

    def update(self, done: int, total: int, text: str = "") -> None:
        """Note that `done` of `total` steps are finished, and a line to show beside them; reaches the file once a
        second at most."""
        if self._ended.is_set():
            return
        with self._lock:
            self._content |= {"done": done, "total": total, "text": text}
        if time.monotonic() - self._written >= _WRITE_INTERVAL_S:
            with contextlib.suppress(OSError):
                self._write()

    def finish(self) -> None:
        """Mark the task done."""
        self._end({"state": "done", "done": self._content["total"]})

    def fail(self, error: str, retry: bool = False) -> None:
        """Mark the task failed, with a message for the user, and whether another try may do better."""
        self._end({"state": "failed", "error": error, "retry": retry})

    def cancel(self) -> None:
        """Mark the task cancelled by the user."""
        self._end({"state": "cancelled", "error": "cancelled"})

    def stop(self, why: str, timed_out: bool = False) -> None:
        """Mark the task stopped: it was asked to, and has saved what it needs to resume; counts stops for the time
        limit."""
        timeouts = self._content["timeouts"] + timed_out
        self._end({"state": "stopped", "error": why, "timeouts": timeouts})

    @property
    def timeouts(self) -> int:
        """How often this submission of the task has been stopped for its time limit."""
        return int(self._content["timeouts"])

    def _end(self, change: dict[str, Any]) -> None:
        self._ended.set()
        with self._lock:
            self._content |= change
        self._write(durable=True)

    def _write(self, durable: bool = False) -> None:
        # One writer at a time, or an older state could be moved over a newer one.
        with self._lock:
            self._content["updated"] = utc_now()
            self._written = time.monotonic()
            write_json(self.path, self._content, durable)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):
                self._write()
