"""What an earlier driver has sent and not noted: looked up in SLURM by its unique name, or among this machine's
processes, so that the present driver continues with it and never submits it twice."""

import os
import re
import socket
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from harness.running.slurm.sinfo import answer
from results.attempts import Started, Submission, read_started, read_submission, submission_folder, write_started
from results.provenance import age_s

SETTLE_S = {"slurm": 150.0, "local": 5.0}
"""Seconds that a submission may be under way unseen: sbatch keeps running when its driver is killed."""
LOOK_S = 2.0
WAITS = "another sweep was submitting, or was killed while submitting: waiting to see which jobs it sent …"


class Busy(ValueError):
    """SLURM does not answer, or does not take jobs now."""


def adopt(runs: Path) -> None:
    """Look up every submission that was begun and whose result was not noted. Busy where SLURM does not answer: nothing
    may be sent before that is known."""
    said = False
    for submission in _open(runs):
        while read_started(runs, submission.name) is None:
            found = find(submission) if submission.executor == "slurm" else _process(submission)
            if found or age_s(submission.time) > SETTLE_S[submission.executor]:
                note_started(submission, found or Started(""), runs)
                break
            if not said:
                print(WAITS, flush=True)
                said = True
            time.sleep(LOOK_S)


def find(submission: Submission) -> Started | None:
    """The SLURM job of a submission, by its name; None where there is none. Busy where SLURM does not answer."""
    named = f"--name={submission.slurm_name}"
    # sacct takes it for local time; the clocks may differ.
    since = (datetime.fromisoformat(submission.time).astimezone() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    asked = [
        ["squeue", "--all", "--noheader", "--states=all", "--format=%F", named],
        ["sacct", "--noheader", "--allocations", "--parsable2", "--format=JobID", f"--starttime={since}", named],
    ]
    answers = [answer(*command) for command in asked]
    for said in answers:
        if found := re.search(r"^\s*(\d+)", said or "", re.MULTILINE):
            return Started(found[1])
    if answers[0] is None:
        unknown = f"squeue does not answer whether SLURM has {submission.slurm_name}, which was being submitted"
        raise Busy(f"{unknown}; run the same command again when it does")
    return None


def note_started(submission: Submission, started: Started, runs: Path) -> Started:
    """Note what a submission became, and give its tasks the call that they wait for; returns what stands, where another
    driver was first."""
    if started.id:
        _link_pickles(submission, started.id, submission_folder(runs, submission.name))
    return write_started(runs, submission.name, started)


def _open(runs: Path) -> list[Submission]:
    try:
        names = sorted(os.listdir(Path(runs) / "logs"))
    except FileNotFoundError:
        return []
    found = [read_submission(runs, name) for name in names if read_started(runs, name) is None]
    return [one for one in found if one]


def _link_pickles(submission: Submission, job_id: str, folder: Path) -> None:
    """submitit looks for the call to make in a file named by the id of the task; all tasks make the same call."""
    from submitit.core.utils import JobPaths

    ids = [f"{job_id}_{index}" for index in range(submission.array)] if submission.array else [job_id]
    calls = _calls(folder)  # once: there is one a task soon
    for one in ids if calls else []:
        wanted = JobPaths(folder, one).submitted_pickle
        try:
            # submitit may yet rename the file, which a symbolic link would not survive.
            os.link(calls[0], wanted)
        except FileExistsError:
            pass
        except OSError:
            with suppress(FileExistsError):
                wanted.symlink_to(_calls(folder)[0].name)


def _calls(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.pkl") if not path.name.endswith("_result.pkl")]


def _process(submission: Submission) -> Started | None:
    """The process of a local submission, the shell around it where there is one: the command names the folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "create_time"]):
        line = " ".join(process.info["cmdline"] or [])
        if "submitit.local._local" in line and submission.name in line:
            found.append((float(process.info["create_time"]), process.pid))
    return Started(str(min(found)[1]), socket.gethostname(), min(found)[0]) if found else None
