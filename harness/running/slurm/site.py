"""What a profile asks of SLURM against what is there, before anything is queued: what no node can meet may wait for
ever."""

import os
import pwd
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.profiles import Launch, Profile
from harness.running.findings import Finding, unknown, warning
from harness.running.slurm.sinfo import Node, Partition, ask, expand, minutes, read_partitions
from jobs.spec.jobs import Train

NAMED = 12
"""Partitions, nodes or features that are listed one by one."""
Partitions = dict[str, Partition]


@dataclass(frozen=True)
class _Need:
    """What a submission asks of each node, and of how many."""

    gang: bool
    nodes: int
    cpus: int
    gpus: int
    memory_gb: int

    @classmethod
    def of(cls, launch: Launch, gang: Train | None = None) -> "_Need":
        tasks = gang.tasks_per_node if gang else 1
        gpus = gang.gpus if gang else launch.gpus_per_task
        nodes = gang.nodes if gang else 1
        return cls(gang is not None, nodes, tasks * launch.cpus_per_task, tasks * gpus, tasks * launch.mem_gb)

    def key(self, name: str) -> str:
        """The keys of the profile that a need comes from."""
        return f"{'train.tasks_per_node × ' * self.gang}launch.{name}"


def check_site(profile: Profile, gangs: Sequence[Train]) -> list[Finding]:
    """Compare what a profile asks for, and its trainings, with what SLURM has.

    ValueError, in a line that names the key, where it can never be met or SLURM does not answer. Returns what cannot be
    met at present (warning) or could not be checked (unknown).
    """
    launch = profile.launch
    try:
        partitions = read_partitions()
        if not partitions:
            unread = "sinfo shows no partition that could be read"
            return [unknown("site", f"{unread}: whether SLURM can run what is asked for was not checked")]
        unchecked, any_time = _check_accounting(launch)
        needs = dict.fromkeys([_Need.of(launch), *(_Need.of(launch, gang) for gang in gangs)])
        found = _check_partitions(launch, needs, partitions, any_time)
        return [unknown("site", note) for note in unchecked] + [warning("site", note) for note in found]
    except ValueError as error:
        raise ValueError(f"profile {profile.name}: {error}") from None


def _check_partitions(launch: Launch, needs: Iterable[_Need], partitions: Partitions, any_time: bool) -> list[str]:
    """Notes on the partitions; ValueError where none of those asked for will do."""
    known = {node.name: None for partition in partitions.values() for node in partition.nodes}
    excluded = set() if "/" in launch.exclude else set(expand(launch.exclude))  # sbatch takes a file, too
    if unknown := sorted(excluded - known.keys()):
        raise ValueError(f"launch.exclude names {unknown[0]}, which SLURM does not know; nodes: {_listed(known)}")
    notes: dict[str, None] = {}
    refused: dict[str, ValueError] = {}
    chosen = _chosen(launch, partitions)
    for partition in chosen:
        if partition.state != "up":
            notes[f"partition {partition.name} is {partition.state}: nothing starts in it now"] = None
        try:
            if not any_time:
                _check_time(launch, partition, partitions)
            nodes = [node for node in partition.nodes if node.name not in excluded]
            if not nodes:
                why = f"launch.exclude = {launch.exclude!r} leaves no node of" if partition.nodes else "no nodes are in"
                raise ValueError(f"{why} partition {partition.name}; partitions: {_listed(partitions)}")
            nodes = _with_type(
                launch.gpu_type, _with_features(launch.constraint, nodes, partition.name), partition.name
            )
            for need in needs:
                able = _able(need, nodes, partition, partitions)
                notes |= dict.fromkeys(_waits(need, able, partition.name))
        except ValueError as error:
            refused[partition.name] = error
    if len(refused) == len(chosen):
        raise next(iter(refused.values()))
    return [*notes, *(f"partition {name} will not be used: {why}" for name, why in refused.items())]


def _chosen(launch: Launch, partitions: Partitions) -> list[Partition]:
    if not launch.partition:
        chosen = [partition for partition in partitions.values() if partition.default]
        if not chosen:
            raise ValueError(f"launch.partition is empty, and SLURM has no default; partitions: {_listed(partitions)}")
        return chosen
    names = [name.strip() for name in launch.partition.split(",")]
    if unknown := [name for name in names if name not in partitions]:
        marked = [f"{one.name} (default)" if one.default else one.name for one in partitions.values()]
        raise ValueError(f"launch.partition {unknown[0]!r} is unknown here; partitions: {_listed(marked)}")
    return [partitions[name] for name in names]


def _check_time(launch: Launch, partition: Partition, partitions: Partitions) -> None:
    if launch.time_min > partition.minutes:
        allowed = f"{partition.minutes:g} min that partition {partition.name} allows"
        limits = _table({one.name: one.minutes for one in partitions.values()})
        raise ValueError(f"launch.time_min = {launch.time_min} is above the {allowed}; partitions: {limits}")


def _with_features(constraint: str, nodes: list[Node], partition: str) -> list[Node]:
    """The nodes that meet a constraint; where it is more than names joined by one of & and |, all of them."""
    wanted = re.findall(r"[^\s&|,()\[\]]+", re.sub(r"\*\d+", "", constraint))
    known = sorted({feature for node in nodes for feature in node.features})
    if unknown := [name for name in wanted if name not in known]:
        has = f"the nodes of partition {partition} have: {_listed(known)}"
        raise ValueError(f"launch.constraint asks for {unknown[0]!r}; {has}")
    both = "|" in constraint and re.search("[&,]", constraint)
    if not wanted or both or re.search(r"[()\[\]*]", constraint):
        return nodes
    together = any if "|" in constraint else all
    found = [node for node in nodes if together(name in node.features for name in wanted)]
    if not found:
        raise ValueError(f"launch.constraint = {constraint!r}: no node of partition {partition} has all of these")
    return found


def _with_type(gpu_type: str, nodes: list[Node], partition: str) -> list[Node]:
    """The nodes with GPUs of a type, with these alone; ValueError where there is none."""
    if not gpu_type:
        return nodes
    if found := [replace(node, gpus=node.gpu_types[gpu_type]) for node in nodes if gpu_type in node.gpu_types]:
        return found
    known = sorted({one for node in nodes for one in node.gpu_types})
    raise ValueError(f"launch.gpu_type = {gpu_type!r}: partition {partition} has GPUs of type: {_listed(known)}")


def _able(need: _Need, nodes: list[Node], partition: Partition, partitions: Partitions) -> list[Node]:
    """The nodes that have all that is needed; ValueError where they are too few."""
    with_gpus = f" with {need.gpus} GPU{'s' * (need.gpus > 1)}" if need.gpus else ""
    for key, unit, wanted, name, divisor in (
        ("gpus_per_task", "GPUs that a node", need.gpus, "gpus", 1),
        ("cpus_per_task", f"CPUs that a node{with_gpus}", need.cpus, "cpus", 1),
        ("mem_gb", f"GB of memory that a node{with_gpus}", need.memory_gb, "memory_mb", 1024),
    ):
        most = max(getattr(node, name) for node in nodes) / divisor
        if wanted > most:
            best = {
                one.name: max((getattr(node, name) for node in one.nodes), default=0) / divisor
                for one in partitions.values()
            }
            above = f"above the {most:.4g} {unit} of partition {partition.name} has"
            raise ValueError(f"{need.key(key)} = {wanted} is {above}; partitions: {_table(best)}")
        nodes = [node for node in nodes if getattr(node, name) / divisor >= wanted]
    if need.nodes > (most := min(len(nodes), partition.most_nodes)):
        limit = "nodes that a job may have" if most < len(nodes) else "nodes with what is asked for"
        raise ValueError(f"train.nodes = {need.nodes} is above the {most:g} {limit} in partition {partition.name}")
    return nodes


def _waits(need: _Need, nodes: list[Node], partition: str) -> list[str]:
    """What to say where too few of the nodes are up."""
    down = [node.name for node in nodes if not node.up]
    if need.nodes <= len(nodes) - len(down):
        return []
    what = f"a training on {need.nodes} nodes" if need.gang else "every task"
    gone = f"{len(down)} of {len(nodes)} nodes are down or drained ({_listed(down)})"
    return [f"partition {partition}: {gone}, and {what} waits until enough are back"]


def _check_accounting(launch: Launch) -> tuple[list[str], bool]:
    """Notes, and whether the QOS lifts the partition's time limit; ValueError for an account or QOS that is not
    available."""
    asked = [f"launch.{name}" for name in ("account", "qos") if getattr(launch, name)]
    if not asked:
        return [], False
    unchecked = f"{' and '.join(asked)} {'were' if len(asked) > 1 else 'was'} not checked"
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
        listed = _rows("associations", f"user={user}", "Account,QOS")
        limits = _rows("qos", f"name={launch.qos}", "Name,Flags,MaxWall") if launch.qos else []
    except KeyError:
        return [f"{unchecked}: this user has no name here"], False
    except ValueError as error:
        return [f"{unchecked}: {error}"], False
    if not listed:
        return [f"{unchecked}: accounting lists nothing of user {user}"], False
    allowed: dict[str, set[str]] = {}
    for account, qos in listed:
        allowed.setdefault(account, set()).update(name.lstrip("+-") for name in qos.split(",") if name)
    if launch.account and launch.account.lower() not in allowed:
        raise ValueError(f"launch.account {launch.account!r} is none of {user}'s; accounts: {_listed(allowed)}")
    accounts = [launch.account.lower()] if launch.account else list(allowed)
    open_to = sorted(set().union(*(allowed[account] for account in accounts)))
    if launch.qos and launch.qos.lower() not in open_to:
        where = f"{user} in {'account' if len(accounts) == 1 else 'any of'} {_listed(accounts)}"
        raise ValueError(f"launch.qos {launch.qos!r} is not open to {where}; valid: {_listed(open_to)}")
    for _, _, wall in limits:
        if launch.time_min > minutes(wall):
            above = f"above the {minutes(wall):g} min that qos {launch.qos} allows"
            raise ValueError(f"launch.time_min = {launch.time_min} is {above}")
    return [], any("PartitionTimeLimit" in flags for _, flags, _ in limits)


def _rows(what: str, which: str, fields: str) -> list[list[str]]:
    """What sacctmgr says, split into fields."""
    answer = ask("sacctmgr", "--noheader", "--parsable2", "show", what, which, f"format={fields}")
    rows = [line.split("|") for line in answer.splitlines()]
    return [row for row in rows if len(row) == len(fields.split(","))]


def _listed(names: Iterable[str]) -> str:
    """The first of some names."""
    ordered = list(names)
    more = [f"… ({len(ordered)} in all)"] if len(ordered) > NAMED else []
    return ", ".join(ordered[:NAMED] + more) or "none"


def _table(values: dict[str, float]) -> str:
    """What partitions have of something, the most first."""
    ordered = sorted(values.items(), key=lambda item: -item[1])
    return _listed(f"{name} {'no limit' if value == float('inf') else f'{value:.5g}'}" for name, value in ordered)
