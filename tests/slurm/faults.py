"""`python -m tests.slurm.faults`: sweeps on the test cluster while drivers, tasks, nodes and disks fail at random.

Each round sweeps three small tables in a runs folder of its own and injects faults until it is done; the tables, every
video's scores and the trained weights must come out as those of an undisturbed sweep, and no finished block of scores
may be made twice. The seed is printed; the same seed draws the same faults, though not at the same moments of the work.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.arguments import Parser, run, stop, whole_number
from tests.slurm.cluster import FOLDER, Cluster
from tests.slurm.sweeping import Sweep, undisturbed

A_ROUND = 5
"""Faults in a round at most."""


class Faults:
    """What can go wrong with a sweep. Each method does it and says what it did; empty where it could not."""

    def __init__(self, cluster: Cluster, sweep: Sweep, chance: random.Random) -> None:
        self.cluster, self.sweep, self.chance = cluster, sweep, chance
        self.cancelled = False

    def driver_killed(self) -> str:
        """SIGKILL to the driver, and another one at once or a little later."""
        self.sweep.kill_driver()
        pause = self.chance.choice((0.0, 0.0, 5.0))
        time.sleep(pause)
        self.sweep.start()
        return f"the driver was killed, and followed {pause:.0f} s later"

    def task_killed(self) -> str:
        """SIGKILL to one process of a task."""
        if not (running := self.sweep.running()):
            return ""
        job, task = self.chance.choice(running)
        with suppress(ProcessLookupError):
            os.kill(task.pid, signal.SIGKILL)
            return f"task {task.task} of job {job.id} ({job.job.get('kind')}) was killed on {task.node}"
        return ""

    def slurmd_killed(self) -> str:
        """A node's daemon dies and comes back while its tasks go on."""
        node = self._busy_node()
        self.cluster.kill_slurmd(node)
        time.sleep(self.chance.uniform(1, 5))
        self.cluster.start_slurmd(node)
        return f"slurmd of node{node} was killed, and started again"

    def node_lost(self) -> str:
        """A node dies with everything on it, and comes back."""
        node = self._busy_node()
        self.cluster.kill_node(node)
        time.sleep(self.chance.uniform(1, 5))
        self.cluster.start_slurmd(node)
        return f"node{node} was lost with all its tasks, and came back"

    def slurmctld_restarted(self) -> str:
        """The controller ends and comes back with the state it kept."""
        self.cluster.stop_slurmctld()
        pause = self.chance.uniform(1, 8)
        time.sleep(pause)
        self.cluster.start_slurmctld()
        self.cluster.wait_for_nodes()
        return f"slurmctld was stopped, and started again {pause:.0f} s later"

    def preempted(self) -> str:
        """A job of the other partition takes the place of what runs."""
        node = f"node{self._busy_node()}"
        options = ["--partition=gpu", f"--nodelist={node}", "--exclusive", "--output=/dev/null", "--wrap=sleep 2"]
        try:
            self.cluster.run("sbatch", "--wait", *options, timeout_s=60)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return f"{node} was taken by a job of the other partition"

    def time_limit(self) -> str:
        """A running job's time limit is set to its next minute."""
        if not (running := self.sweep.ids("RUNNING")):
            return ""
        one = self.chance.choice(running)
        try:
            elapsed = self.cluster.run("squeue", "--noheader", "--format=%M", f"--jobs={one}").strip()
            minutes = sum(int(part) * 60**place for place, part in enumerate(reversed(elapsed.split(":")))) // 60 + 1
            self.cluster.run("scontrol", "update", f"JobId={one}", f"TimeLimit={minutes}")
        except (OSError, ValueError):
            return ""  # it has ended in the meantime
        return f"the time limit of SLURM job {one} was set to {minutes} min"

    def disk_full(self) -> str:
        """No space where records are written, until a task has found that out or for half a minute."""
        records = self.sweep.runs / "records"
        records.mkdir(mode=0o700, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(records)], check=True, timeout=20)
        try:
            with suppress(OSError), open(records / ".full", "wb") as file:
                while True:
                    file.write(b"0" * 4096)
                    file.flush()
            until = time.monotonic() + 30
            found = ""
            while time.monotonic() < until and not found:
                errors = [task.error for job in self.sweep.jobs() for task in job.tasks]
                found = next((error for error in errors if "No space" in error), "")
                time.sleep(0.3)
        finally:
            subprocess.run(["umount", "--lazy", str(records)], check=True, timeout=20)
        return f"the disk of the records was full: {found or 'nobody wrote to it'}"

    def scancelled(self) -> str:
        """A user cancels jobs in SLURM; the sweep says so and the same command runs them again."""
        if not (mine := self.sweep.ids("RUNNING", "PENDING")):
            return ""
        one = self.chance.choice(mine)
        self.cluster.run("scancel", one)
        self.cancelled = True
        return f"SLURM job {one} was cancelled"

    def _busy_node(self) -> int:
        """The number of a node on which a task runs; of any where none does."""
        nodes = sorted({task.node for _, task in self.sweep.running()} & {f"node{number}" for number in range(1, 5)})
        return int(self.chance.choice(nodes or ["node1", "node2", "node3", "node4"]).removeprefix("node"))


KINDS: tuple[Callable[[Faults], str], ...] = (
    Faults.driver_killed,
    Faults.task_killed,
    Faults.slurmd_killed,
    Faults.node_lost,
    Faults.slurmctld_restarted,
    Faults.preempted,
    Faults.time_limit,
    Faults.disk_full,
    Faults.scancelled,
)


def go_through(
    cluster: Cluster,
    folder: Path,
    wanted: int,
    chance: random.Random,
    kinds: tuple[Callable[[Faults], str], ...] = KINDS,
    expected: dict[str, Any] | None = None,
) -> int:
    """Sweep with at least `wanted` faults, each kind once before any comes again; returns how many there were.

    AssertionError where an outcome is not the `expected` one, by default that of an undisturbed sweep made first, or
    where finished work is repeated.
    """
    expected = expected or undisturbed(cluster, folder)
    began, count, number = time.monotonic(), 0, 0
    left: list[Callable[[Faults], str]] = []
    while count < wanted:
        number += 1
        sweep = Sweep(cluster, folder, f"round-{number}")
        faults = Faults(cluster, sweep, chance)
        sweep.start()
        here = 0
        while here < A_ROUND and count < wanted:
            _wait(sweep, chance.uniform(2, 15))
            if sweep.driver and sweep.driver.poll() is not None and not faults.cancelled:
                break
            if not left:
                left = chance.sample(kinds, len(kinds))
            said = left.pop()(faults)
            sweep.look()
            if said:
                here, count = here + 1, count + 1
                print(f"[{time.monotonic() - began:4.0f} s] round {number}, fault {count}: {said}", flush=True)
        _conclude(sweep, faults, expected)
        print(f"[{time.monotonic() - began:4.0f} s] round {number}: the same tables, scores and weights", flush=True)
        shutil.rmtree(sweep.runs)
    return count


def _wait(sweep: Sweep, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and sweep.driver and sweep.driver.poll() is None:
        sweep.look()
        time.sleep(0.2)


def _conclude(sweep: Sweep, faults: Faults, expected: dict[str, Any]) -> None:
    """Let the sweep end, again where something was cancelled, and compare."""
    code = sweep.end()
    if code and faults.cancelled:
        reasons = sweep.said()
        assert "cancelled" in reasons, reasons
        sweep.start()
        code = sweep.end()
    assert code == 0, sweep.said()
    outcome = sweep.outcome()
    assert outcome == expected, f"{outcome} is not {expected}: {sweep.said()}"


def main() -> int:
    parser = Parser(prog="python -m tests.slurm.faults", description=(__doc__ or "").partition("\n")[2])
    parser.add_argument("--faults", type=whole_number, default=20, metavar="N", help="how many faults (20)")
    parser.add_argument("--seed", type=int, default=None, help="what the faults are drawn from (a new one, printed)")
    parser.add_argument("--kind", action="append", choices=[one.__name__ for one in KINDS], help="only these faults")
    parser.add_argument("--dir", type=Path, default=FOLDER, metavar="DIR", help=f"the cluster's folder ({FOLDER})")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    kinds = tuple(one for one in KINDS if not options.kind or one.__name__ in options.kind)
    try:
        cluster = Cluster(options.dir)
        started = cluster.up()
        folder = Path(tempfile.mkdtemp(prefix="harness-faults-"))
        try:
            count = go_through(cluster, folder, options.faults, random.Random(seed), kinds)
        finally:
            if started:
                cluster.down()
        shutil.rmtree(folder)
    except (ValueError, OSError) as error:
        return stop(error)
    except AssertionError as error:
        print(f"error: seed {seed}: {error}; see {folder}", file=sys.stderr)
        return 1
    print(f"{count} faults, every table as undisturbed; seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
