"""What SLURM says of itself: its partitions and nodes as sinfo prints them, and a way to ask its other commands."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

ANSWER_S = 60.0
"""How long SLURM may take to answer."""
FIELDS = ("%P", "%a", "%l", "%s", "%c", "%m", "%G", "%T", "%N", "%f")
"""What sinfo is asked for each node of each partition: partition and whether it is up, its time limit and most nodes of
a job; the node's CPUs, memory, GPUs, state, name and features. No field but the last can have a | in it."""
OUT = ("down", "drain", "fail", "maint", "inval", "unknown", "error", "future", "blocked", "not_responding")
"""Beginnings of the states in which a node takes no work."""


@dataclass(frozen=True)
class Node:
    """A node as one partition has it."""

    name: str
    cpus: int
    memory_mb: int
    gpus: int
    gpu_types: Mapping[str, int]
    """How many GPUs of each type, where SLURM knows types."""
    features: frozenset[str]
    up: bool
    """Whether it takes work, now or once it is free."""


@dataclass
class Partition:
    """A partition and its nodes."""

    name: str
    default: bool
    state: str
    """`up`, or what keeps it from starting jobs."""
    minutes: float
    """The longest time limit of a job."""
    most_nodes: float
    """The most nodes of a job."""
    nodes: list[Node] = field(default_factory=list)


class NoAnswer(ValueError):
    """A command of SLURM that failed; `said` is its own last word."""

    def __init__(self, tool: str, said: str) -> None:
        super().__init__(f"SLURM does not answer here ({tool}: {said})")
        self.said = said


def ask(*command: str, text: str | None = None) -> str:
    """What a command of SLURM prints, given `text` to read. NoAnswer where it fails or takes too long, ValueError where
    there is none."""
    # The user's own defaults for how these commands print are for people.
    environment = {name: value for name, value in os.environ.items() if not re.match("SINFO_|SQUEUE_|SACCT_", name)}
    tool = command[0]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=ANSWER_S, env=environment)
    except FileNotFoundError:
        wanted = "submit from a login node, or set launch.executor to local"
        raise ValueError(f"executor is slurm, but there is no {tool} on this machine: {wanted}") from None
    except subprocess.TimeoutExpired:
        raise NoAnswer(tool, f"no answer in {ANSWER_S:g} s") from None
    except (OSError, ValueError) as error:
        raise NoAnswer(tool, str(error)) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise NoAnswer(tool, said.removeprefix(f"{tool}: "))
    return done.stdout or done.stderr  # sbatch --test-only answers there


def answer(*command: str) -> str | None:
    """What a command of SLURM answers, nothing of a job that it does not know; None where it fails otherwise."""
    try:
        return ask(*command)
    except NoAnswer as error:
        return "" if "Invalid job id" in error.said else None
    except ValueError:
        return None


def read_partitions() -> dict[str, Partition]:
    """The partitions by name, hidden ones included; ValueError where sinfo does not answer."""
    found: dict[str, Partition] = {}
    for line in ask("sinfo", "--noheader", "--all", "--Node", "--format", "|".join(FIELDS)).splitlines():
        parts = [part.strip() for part in line.split("|", len(FIELDS) - 1)]
        if len(parts) < len(FIELDS):
            continue  # the name of a cluster, where there are several
        name, up, time, size, cpus, memory, gres, state, node, features = parts
        fresh = Partition(name.rstrip("*"), name.endswith("*"), up, minutes(time), _most(size))
        partition = found.setdefault(fresh.name, fresh)
        if not node:
            continue  # a partition without nodes
        own = frozenset(re.findall(r"[^,\s]+", features.replace("(null)", "")))
        able = not state.lower().startswith(OUT) and not state.endswith("*")
        partition.nodes.append(Node(node, _number(cpus), _number(memory), *_gpus(gres), own, able))
    return found


def expand(names: str) -> list[str]:
    """The nodes in a list such as `node[1-3,07],login`."""
    found: list[str] = []
    for one in re.findall(r"(?:\[[^\]]*\]|[^,\[])+", names.replace(" ", "")):
        expanded = [""]
        for text, ranges in re.findall(r"([^\[\]]+)|\[([^\]]*)\]", one):
            parts = [text] if text else [part for bounds in ranges.split(",") for part in _range(bounds)]
            expanded = [before + part for before in expanded for part in parts]
        found += expanded
    return found


def minutes(text: str) -> float:
    """A time such as `1-12:00:00`, `30:00` or `infinite`, in minutes; infinity for what is no time."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not found:
        return float("inf")
    days, *rest = (int(part or 0) for part in found.groups())
    if found[1] is None and found[4] is None:
        rest = [0, rest[0], rest[1]]  # minutes and seconds
    return days * 1440 + rest[0] * 60 + rest[1] + rest[2] / 60


def _most(size: str) -> float:
    """The upper end of `1-4` or `1-infinite`."""
    last = size.rpartition("-")[2]
    return int(last) if last.isdigit() else float("inf")


def _number(text: str) -> int:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def _gpus(gres: str) -> tuple[int, dict[str, int]]:
    """The GPUs in `gpu:v100:8(S:0-1),nvme:1`, and those of each type."""
    count, types = 0, dict[str, int]()
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        kind, *rest = entry.strip().split(":")
        if kind == "gpu":
            number = int(rest.pop()) if rest and rest[-1].isdigit() else 1
            count += number
            if rest:
                types[rest[0]] = types.get(rest[0], 0) + number
    return count, types


def _range(bounds: str) -> Iterator[str]:
    first, dash, last = bounds.partition("-")
    if not dash or not (first.isdigit() and last.isdigit()):
        yield bounds
        return
    for number in range(int(first), int(last) + 1):
        yield f"{number:0{len(first)}}"
