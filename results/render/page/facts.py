"""What stands above and below the tables: how complete they are, on what they were measured, what failed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.records import Record, as_dict
from results.render.grid import printable
from results.render.page.content import Page
from results.render.page.layout import VALUES, WORDS, Table, cell_ids

NAMED = 6
"""How many hosts are listed by name before the rest is counted."""
SUBMITIT = "submitit.core._submit"
"""The module by which submitit starts a process."""
SKIPPED_MOST = 500
"""Videos left out that the page names; their records name all."""


@dataclass(frozen=True)
class Machine:
    """Machines that are alike, and how many values are theirs."""

    what: str
    hosts: str
    values: int


@dataclass(frozen=True)
class Failure:
    """Cells without a value for one reason."""

    word: str
    """failed or cancelled."""
    reason: str
    job: str
    cells: Sequence[tuple[str, str]]
    """Each with its key and its name."""
    logs: Sequence[str]
    """Paths of the job's logs."""


@dataclass(frozen=True)
class Facts:
    """What the page says beside its tables."""

    counts: Mapping[str, int]
    """Cells of all declared tables by the word of their status."""
    machines: Sequence[Machine]
    profiles: str
    precisions: str
    versions: Sequence[tuple[str, str]]
    commits: Sequence[str]
    commands: Sequence[str]
    slurm: Sequence[str]
    first: str
    last: str
    failures: Sequence[Failure]
    skipped: Sequence[tuple[str, str, int]]
    """Video, reason, and how many values lack it."""
    skipped_more: int
    left_out: int
    """How many videos at least one value lacks."""

    @property
    def cells(self) -> int:
        return sum(self.counts.values())

    @property
    def valued(self) -> int:
        return sum(self.counts.get(word, 0) for word in VALUES)


def gather(page: Page, tables: Iterable[Table]) -> Facts:
    """All of it, from the records that are shown."""
    counted: Counter[str] = Counter()
    for table in tables:
        if not table.derived:
            counted.update(table.counts)
    records = page.records
    ended = sorted(record.ended for record in records)
    skipped = Counter((item["video"], item["reason"]) for record in records for item in record.skipped)
    named = [(printable(video), printable(reason), count) for (video, reason), count in sorted(skipped.items())]
    return Facts(
        counts={word: counted[word] for word in WORDS if counted[word]},
        machines=_machines(records),
        profiles=_counted(record.profile for record in records),
        precisions=_counted(str(one) for record in records if (one := record.settings.get("precision"))),
        versions=_versions(records),
        commits=_commits(records),
        commands=_commands(records),
        slurm=_slurm(records),
        first=ended[0] if ended else "",
        last=ended[-1] if ended else "",
        failures=_failures(page),
        skipped=named[:SKIPPED_MOST],
        skipped_more=max(len(named) - SKIPPED_MOST, 0),
        left_out=len({video for video, _ in skipped}),
    )


def _machines(records: Iterable[Record]) -> list[Machine]:
    hosts: dict[str, dict[str, None]] = {}
    values: Counter[str] = Counter()
    for record in records:
        machine = as_dict(record.provenance.get("machine"))
        if not machine:
            continue
        what = _machine(machine)
        values[what] += 1
        tasks = record.provenance.get("tasks")
        of_tasks = [one.get("host") for one in tasks if isinstance(one, dict)] if isinstance(tasks, list) else []
        for host in of_tasks or [machine.get("host")]:
            if host:
                hosts.setdefault(what, {})[str(host)] = None
    return [Machine(what, _named(hosts.get(what, ())), count) for what, count in values.most_common()]


def _machine(machine: Mapping[str, Any]) -> str:
    gpus, memory = machine.get("gpus") or 1, machine.get("memory")
    said = []
    if machine.get("gpu"):
        said.append(f"{gpus} × {machine['gpu']}" if gpus != 1 else str(machine["gpu"]))
        said += [f"driver {machine['driver']}"] if machine.get("driver") else []
    else:
        said.append("no GPU")
    said += [f"{machine.get('cpu') or 'unknown CPU'}, {machine.get('cores')} cores"]
    said += [f"{memory / 2**30:.0f} GiB"] if isinstance(memory, int | float) else []
    return printable(", ".join(said))


def _versions(records: Iterable[Record]) -> list[tuple[str, str]]:
    found: dict[str, Counter[str]] = {}
    for record in records:
        python = record.provenance.get("python")
        versions = {"Python": python} if python else {}
        for name, version in (versions | as_dict(record.provenance.get("versions"))).items():
            found.setdefault(printable(str(name)), Counter())[str(version)] += 1
    return [(name, _several(counts)) for name, counts in found.items()]


def _commits(records: Iterable[Record]) -> list[str]:
    found: Counter[str] = Counter()
    for record in records:
        git = as_dict(record.provenance.get("git"))
        if git.get("commit"):
            found[f"{str(git['commit'])[:10]}{' with changes' if git.get('dirty') else ''}"] += 1
        else:
            found["unknown (not a checkout)"] += 1
    return _each(found)


def _slurm(records: Iterable[Record]) -> list[str]:
    found: Counter[str] = Counter()
    for record in records:
        slurm = as_dict(record.provenance.get("slurm"))
        named = [f"{name} {slurm[key]}" for name, key in _SLURM if slurm.get(key)]
        if named:
            found[", ".join(named)] += 1
    return _each(found)


_SLURM = (("cluster", "cluster_name"), ("partition", "job_partition"))


def _failures(page: Page) -> list[Failure]:
    cells: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for view in page.views:
        for key, entry in cell_ids(view):
            if view.derived:
                continue
            name = printable(f"{view.name}: {entry.row}, {entry.column}")
            if entry.status == "failed":
                job = page.attempts.get((view.name, entry.row, entry.column), "")
                cells.setdefault((entry.word, printable(entry.note), job), []).append((key, name))
            for text in entry.failures:
                cells.setdefault(("failed", printable(text), ""), []).append((key, name))
    found = []
    for (word, reason, job), named in cells.items():
        known = page.jobs.get(job)
        logs = [printable(log.path) for log in known.logs] if known else []
        found.append(Failure(word, reason, job, named, logs))
    return sorted(found, key=lambda failure: failure.word == "cancelled")


def _counted(texts: Iterable[str]) -> str:
    return _several(Counter(texts))


def _several(counts: Counter[str]) -> str:
    return ", ".join(_each(counts))


def _each(counts: Counter[str]) -> list[str]:
    """Each text, with how many values it is of where there are several."""
    alone = len(counts) == 1
    return [printable(text if alone else f"{text} ({_values(count)})") for text, count in counts.most_common()]


def _commands(records: Iterable[Record]) -> list[str]:
    """What people typed; how submitit starts a process, which says nothing to them, is in the record."""
    texts = dict.fromkeys(str(text) for record in records if (text := record.provenance.get("command")))
    return [printable(text) for text in texts if SUBMITIT not in text]


def _named(hosts: Iterable[str]) -> str:
    names = list(hosts)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return printable(", ".join(names[:NAMED])) + more


def _values(count: int) -> str:
    return f"{count} value{'s' * (count != 1)}"
