"""What SLURM says when it takes no job, sorted: it is busy, too many are submitted, or the job is wrong."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from harness.running.slurm.sinfo import read_partitions

TEST_S = 60
"""Seconds that sbatch --test-only has to answer."""
BUSY, LIMIT, WRONG = "busy", "limit", "wrong"
_BUSY = re.compile(
    r"timed out|no answer in|socket|unable to contact|connection (refused|reset)|connect failure|zero bytes"
    r"|temporarily (unable|unavailable)|in standby mode"
    r"|(code|status) (124|137)\b|make sense of sbatch output|error writing script",
    re.I,
)
"""What sbatch says, or submitit of it, when it is SLURM that cannot answer now."""
_POLICY = "accounting/QOS policy"
"""The words of the error that names all limits alike; the reason before them, where there is one, says which it is."""
_SUBMITTED = re.compile(r"(QOS|Assoc)\w*Submit\w*|MaxSubmit\w*PerAccount")
_KEYS = (
    (r"QOSMinGRES|QOS\w*Min\w*Gpu", "launch.gpus_per_task, launch.count_here, launch.qos, launch.partition"),
    (r"(QOS|Assoc|Max)\w*(GRES|Gpu)", "launch.gpus_per_task, train.tasks_per_node, launch.qos"),
    (r"(QOS|Assoc)\w*Wall|time limit is invalid", "launch.time_min, launch.qos, launch.partition"),
    (r"(QOS|Assoc|Max)\w*Mem|Memory specification", "launch.mem_gb, launch.qos"),
    (r"(QOS|Assoc|Max)\w*C(pu|PU)|CPU count", "launch.cpus_per_task, launch.qos"),
    (r"(QOS|Assoc|Max)\w*Node|Node count", "train.nodes, launch.qos"),
    (f"{_POLICY}|qos", "launch.qos"),
    ("reservation", "launch.extra.reservation"),
    ("license", "launch.extra.licenses"),
    ("account/partition", "launch.account, launch.partition"),
    ("account", "launch.account"),
    ("not permitted to use this partition", "launch.partition, launch.account"),
    ("generic resource|TRES", "launch.gpu_type, launch.gpu_flag"),
    ("feature", "launch.constraint"),
    ("node name", "launch.exclude"),
    (
        "(node|partition) configuration",
        "launch.partition, launch.gpu_type, launch.gpus_per_task, launch.cpus_per_task, launch.mem_gb, train.nodes",
    ),
    ("partition", "launch.partition"),
    (r"option|argument|Invalid --", "launch.extra"),
)
"""What SLURM's message says, and the keys of a profile to change; the first that fits."""


@dataclass(frozen=True)
class Refusal:
    """Why SLURM took no job."""

    kind: str
    """busy (it may take the job later), limit (as soon as fewer jobs are submitted) or wrong (never)."""
    said: str
    """SLURM's own words, in a line."""
    keys: str = ""
    """The keys of the profile to change."""

    def __str__(self) -> str:
        return f"{self.said} (see {self.keys} in the profile)" if self.keys else self.said


def refusal(said: str) -> Refusal:
    """Sort what sbatch, or submitit of it, said of a job that was not taken."""
    said = re.sub(r"sbatch: (error: )?|allocation failure: |Batch job submission failed: ", "", said)
    said = ": ".join(line.strip() for line in said.splitlines() if line.strip())
    if _BUSY.search(said):
        return Refusal(BUSY, said)
    reason = re.search(r"\b(QOS|Assoc)[A-Z]\w+|\bMax\w+PerAccount\b", said)
    if found := _SUBMITTED.search(said):
        return Refusal(LIMIT, said, "launch.account" if found[0].startswith("Assoc") else "launch.qos")
    if _POLICY in said and not reason:
        return Refusal(LIMIT, said, "launch.qos, launch.account")
    words = reason[0] if reason else said
    return Refusal(WRONG, said, next((keys for pattern, keys in _KEYS if re.search(pattern, words)), ""))


def ask_sbatch(script: str) -> Refusal | str:
    """What SLURM would say to a script: when the job would start, or why it would not be taken. ValueError where there
    is no sbatch."""
    command = ["sbatch", "--test-only"]
    try:
        with outside_of_any_job():
            done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=TEST_S)
    except OSError as error:
        raise ValueError(f"sbatch cannot be run here: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        return Refusal(BUSY, f"no answer in {TEST_S} s")
    if not done.returncode:
        when = re.search(r"to start at (\S+)", done.stdout + done.stderr)
        return f"at {when[1]}" if when else "at an unknown time"
    found = refusal(done.stderr or done.stdout or f"exit code {done.returncode}")
    # Asked so, SLURM leaves out nodes that are down; check_site has looked whether they have what is asked for.
    if found.kind == WRONG and "node configuration" in found.said and (down := _down()):
        return replace(found, kind=BUSY, said=f"{found.said}, while {down} nodes are down or drained")
    return found


@contextmanager
def outside_of_any_job() -> Iterator[None]:
    """Hide SLURM's variables: a job submitted from inside another would inherit its limits and CPU binding, and those
    of sbatch come before what the profile says."""
    of_the_user = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
    names = [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_")) and name not in of_the_user]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _down() -> int:
    """How many nodes take no work now, as far as SLURM says."""
    try:
        partitions = read_partitions()
    except ValueError:
        return 0
    return len({node.name for partition in partitions.values() for node in partition.nodes if not node.up})
