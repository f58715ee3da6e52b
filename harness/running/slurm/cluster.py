"""Tasks on a SLURM cluster: arrays, and for trainings gangs of processes that run at the same time."""

import io
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.profiles import Profile
from harness.running.adoption import Busy, find, note_started
from harness.running.slurm.refusals import BUSY, LIMIT, WRONG, Refusal, ask_sbatch, outside_of_any_job, refusal
from harness.running.slurm.sbatches import Sbatch, in_a_pattern, plan_sbatches, script
from harness.running.slurm.sinfo import NoAnswer, answer, ask
from harness.running.submission import Sent, Start, begin, new_submission
from results.attempts import Started, Submission, Unit, read_started, submission_folder

if TYPE_CHECKING:
    from submitit import SlurmExecutor

SBATCH_S = 120
"""Seconds that sbatch has to answer."""
SENDS = 3
"""How often a submission is sent to a SLURM that does not answer."""
AGAIN_S = 10.0
"""Seconds between two of them."""


def submit(starts: Sequence[Start], profile: Profile, runs: Path) -> Sent:
    """Submit tasks, as many as limits on submitted jobs allow. ValueError where SLURM refuses one otherwise, which is
    not queued then, and where it would not take a single one with nothing of the user's in the queue."""
    planned = plan_sbatches(starts, profile.launch)
    by_id = {start.job.id: start for start in starts}
    sent, ids, waiting = Sent(), list[str](), list[Unit]()
    for one in planned:
        fits, limit = (0, None) if waiting else _fitting(one, runs)
        job_id = ""
        if fits:
            before = ids[one.after] if one.after is not None else ""
            part = replace(one, units=one.units[:fits])
            job_id, tasks, refused = _send(part, before, by_id, profile, runs)
            sent.tasks += tasks
            fits, limit = (0, refused) if refused else (fits, limit)
        ids.append(job_id)
        waiting += one.units[fits:]
        sent.why = sent.why or (str(limit) if limit else "")
    if waiting and not sent.tasks and _alone(sent.why):
        raise ValueError(f"profile {profile.name}: SLURM accepts not even one task: {sent.why}")
    for start in starts:
        if left := {task: start.tasks[task] for job_id, task in waiting if job_id == start.job.id}:
            sent.waiting.append(replace(start, tasks=left))
    return sent


def _fitting(one: Sbatch, runs: Path) -> tuple[int, Refusal | None]:
    """How many of the tasks limits on submitted jobs allow now, and what SLURM says of more; of a gang all or none."""
    limit: Refusal | None = None
    fits, over = 0, len(one.units) + 1
    tried = len(one.units)
    while tried > fits:
        found = ask_sbatch(script(replace(one, units=one.units[:tried]), runs))
        if isinstance(found, Refusal) and found.kind == LIMIT:
            over, limit = tried, found
        else:
            fits = tried
        tried = 0 if one.kind == "gang" else (fits + over) // 2
    return fits, limit


def _alone(why: str) -> bool:
    """Whether a limit that is reached is so for nobody's jobs: the user has none, and it is not one of a group."""
    return not re.search("Grp|PerAccount", why) and answer("squeue", "--me", "--noheader", "--format=%i") == ""


def _send(
    planned: Sbatch, before: str, starts: Mapping[str, Start], profile: Profile, runs: Path
) -> tuple[str, int, Refusal | None]:
    """One sbatch, that waits for the end of the job `before`; returns its id and how many tasks it starts, or the limit
    that does not allow it. A SLURM that does not answer may have accepted the job anyway, so it is looked up before
    it is sent again."""
    whole = new_submission("slurm", planned.kind, planned.units, profile.launch, planned.label)
    submission = begin(whole, starts, runs)
    if not submission:
        return "", 0, None
    parameters = planned.parameters | ({"dependency": f"afterany:{before}"} if before else {})
    job_id, refused = "", Refusal(BUSY, "")
    for left in reversed(range(SENDS)):
        try:
            job_id = _sbatch(submission, parameters, runs)
        except RuntimeError as error:
            refused = refusal(str(error))
            if refused.kind == BUSY:
                time.sleep(AGAIN_S)
                found = find(submission)
                job_id = found.id if found else ""
                if not job_id and left and not read_started(runs, submission.name):
                    continue
        break
    stands = note_started(submission, Started(job_id), runs)
    if job_id and stands.id != job_id:
        # It took so long that another driver has withdrawn it.
        _cancel(job_id)
        return stands.id, 0, None
    if stands.id:
        return stands.id, len(submission.units), None
    if refused.kind == LIMIT:
        return "", 0, refused
    raise (Busy if refused.kind == BUSY else ValueError)(f"profile {profile.name} cannot submit to SLURM: {refused}")


def _cancel(job_id: str) -> None:
    try:
        ask("scancel", job_id)
    except NoAnswer as error:
        print(f"SLURM job {job_id} runs what another job runs already, and was not cancelled: {error.said}", flush=True)


def _sbatch(submission: Submission, parameters: dict[str, Any], runs: Path) -> str:
    """Have submitit submit the tasks, with one pickled call for all of them; SLURM's id of the job."""
    from jobs.run import run_submission

    with outside_of_any_job():
        executor = slurm_executor(submission_folder(runs, submission.name))
        executor.update_parameters(job_name=submission.slurm_name, **parameters)
        # submitit keeps this to itself, as it pickles each task of an array; ours differ by their index.
        executor.parameters["map_count"] = submission.array or None
        # What sbatch says is in the error, too.
        with redirect_stderr(io.StringIO()):
            return str(executor.submit(run_submission, str(runs), submission.name).job_id)


def slurm_executor(folder: Path) -> "SlurmExecutor":
    """submitit's executor, whose files are in `folder`, with its own limit on how long sbatch may take."""
    from submitit import SlurmExecutor
    from submitit.slurm.slurm import _make_sbatch_string

    class Executor(SlurmExecutor):
        def _make_submission_file_text(self, command: str, uid: str) -> str:
            return str(_make_sbatch_string(command=command, folder=in_a_pattern(self.folder), **self.parameters))

        def _make_submission_command(self, submission_file_path: Path) -> list[str]:
            command = super()._make_submission_command(submission_file_path)
            return ["timeout", "--kill-after=10", str(SBATCH_S), *command]

    return Executor(folder=folder)


def check_sbatch(starts: Sequence[Start], profile: Profile, runs: Path) -> list[str]:
    """ValueError where SLURM would refuse one of the jobs, before any of them is queued. More jobs than a limit allows
    are no reason: the rest waits. Returns lines on what SLURM could not say."""
    notes = []
    for one in plan_sbatches(starts, profile.launch):
        found = ask_sbatch(script(one, runs))
        if isinstance(found, Refusal) and found.kind == WRONG:
            raise ValueError(f"profile {profile.name}: SLURM would refuse {one.label}: {found}")
        if isinstance(found, Refusal) and found.kind == BUSY:
            notes.append(f"SLURM cannot say now whether it would accept {one.label}: {found}")
    return notes
