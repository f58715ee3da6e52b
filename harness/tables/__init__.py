"""Tables declared as data: the paper's, one TOML file each in this folder, and a user's own TOML file.

A table is the product of its rows and its columns. Each row and each column sets some fields of a cell (model,
reduction, dataset, views, metric); what is common to all stands at the top:

    title = "Drop numbers of ViT-B"
    model = "vit_base"
    dataset = "k400"
    views = "5x3"

    [[rows]]                      # one by one, with your own labels …
    label = "STA, r = 48"
    reduction = "sta:r=48"

    [columns]                     # … or as lists, of which every combination becomes one
    metric = ["top1", "gflops", "clips_per_s"]

A row with a `label` and `printed = true` is of a model that there is not: it shows the numbers that a paper prints.

`seeds = [0, 1, 2]` at the top has every training done once for each seed: its values are means over these runs.
"""

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from harness.profiles.toml import read_toml
from jobs.spec.cells import Cell, over
from results.metrics import METRICS, of_job
from results.seeds import Seed

FIELDS = tuple(field.name for field in fields(Cell))
FOLDER = Path(__file__).parent
ALL = "all"
"""The group of all tables that are in one."""
DROPS = "-drops"
"""How the name of a table ends that is derived from another."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One place in a table, and the cell that fills it, in the paper's terms (before any stand-in)."""

    row: str
    column: str
    cell: Cell
    inferred: str
    """Why and from what the settings were inferred, where the paper does not print them."""


@dataclass(frozen=True)
class Table:
    """A declared table. `name` is also the key of its published numbers, if there are any."""

    name: str
    title: str
    corner: str
    """What the row labels are."""
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    entries: tuple[Entry, ...]
    baseline: str = ""
    """The row that changes are from; empty: in each place the same without a reduction."""
    seeds: tuple[int, ...] = ()
    """Of the runs that each training is done in; empty: one run, with the seed of the profile."""
    group: str = ""
    """The name under which it is asked for together with others."""

    def seeds_of(self, cell: Cell) -> tuple[Seed, ...]:
        """The seeds of a cell's runs; None is that of the profile, or none where nothing is trained."""
        return self.seeds if self.seeds and METRICS[cell.metric].job == "train" else (None,)


def table_names() -> list[str]:
    """The names of the tables that come with the harness."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def groups() -> dict[str, list[str]]:
    """The groups of tables that come with the harness: of each name the tables, in order."""
    found: dict[str, list[str]] = {}
    for name in table_names():
        if group := load_table(name).group:
            found.setdefault(group, []).append(name)
    return found | {ALL: [name for names in found.values() for name in names]}


def load_table(name: str) -> Table:
    """The table called `name`, or declared in the TOML file `name`; ValueError saying what is wrong where."""
    if name in table_names():
        return _load(FOLDER / f"{name}.toml")
    path = Path(name)
    if path.suffix != ".toml":
        valid = f"{', '.join(table_names())}; groups of these: {', '.join(groups())}; or your own TOML file"
        raise ValueError(f"unknown table {name!r}; valid tables: {valid}")
    if path.stem in table_names():
        raise ValueError(f"{name}: {path.stem} is the name of a built-in table; give the file another name")
    return _load(path)


def load_tables(names: Iterable[str]) -> list[Table]:
    """The tables of these names, groups and files, each once; ValueError where two have the same name, or one that of
    what is derived from another."""
    found: dict[str, tuple[str, Table]] = {}
    for name in (table for asked in names for table in _of_group(asked)):
        table = load_table(name)
        other, known = found.setdefault(table.name, (name, table))
        if known != table:
            raise ValueError(f"{other} and {name} are both called {table.name!r}; give one of the files another name")
    for name in found:
        if name + DROPS in found:
            file, _ = found[name + DROPS]
            raise ValueError(f"{file}: {name}{DROPS} is what the drops of {name} are called; give it another name")
    return [table for _, table in found.values()]


def _of_group(name: str) -> list[str]:
    """The tables of a group, or the one that is named."""
    alone = name in table_names() or Path(name).suffix == ".toml"
    return [name] if alone else groups().get(name, [name])


@cache
def _load(path: Path) -> Table:
    data = read_toml(path, "table")
    try:
        return _declare(path.stem, data)
    except ValueError as error:
        raise ValueError(f"table {path}: {error}") from None


def _declare(name: str, data: dict[str, Any]) -> Table:
    common = {key: _text(key, data.pop(key)) for key in FIELDS if key in data}
    title = _text("title", data.pop("title", name))
    corner = _text("corner", data.pop("corner", ""))
    baseline = _text("baseline", data.pop("baseline", ""))
    group = _text("group", data.pop("group", ""))
    seeds = _seeds(data.pop("seeds", []))
    listed = data.get("rows")
    printed = _printed(listed) if isinstance(listed, list) else set()
    rows, columns = _axis("rows", data.pop("rows", None)), _axis("columns", data.pop("columns", None))
    if data:
        valid = ", ".join(("title", "group", "corner", "baseline", "seeds", "rows", "columns", *FIELDS))
        raise ValueError(f"unknown key {next(iter(data))!r}; valid keys: {valid}")
    entries = []
    for row, column in itertools.product(rows, columns):
        if row["label"] in printed:
            continue
        settings = common | row | column
        if clash := (row.keys() & column.keys()) - {"label", "inferred"}:
            raise ValueError(f"{clash.pop()!r} is set both in row {row['label']!r} and in column {column['label']!r}")
        place = f"row {row['label']!r}, column {column['label']!r}"
        entries.append(Entry(row["label"], column["label"], _cell(settings, place), settings.get("inferred", "")))
    labels = _labels("rows", rows)
    if baseline and baseline not in labels:
        raise ValueError(f"baseline {baseline!r} is no row; the rows: {', '.join(labels)}")
    table = Table(name, title, corner, labels, _labels("columns", columns), tuple(entries), baseline, seeds, group)
    if seeds and all(table.seeds_of(entry.cell) == (None,) for entry in entries):
        raise ValueError(f"seeds are of trainings, and it has none of their metrics: {', '.join(of_job('train'))}")
    return table


def _seeds(data: Any) -> tuple[int, ...]:
    whole = isinstance(data, list) and all(type(seed) is int and 0 <= seed < 2**32 for seed in data)
    if not whole or len(set(data)) < len(data):
        raise ValueError(f"seeds must be a list of different whole numbers from 0, as [0, 1, 2], not {data!r}")
    return tuple(data)


def _printed(rows: list[Any]) -> set[str]:
    """The labels of the rows that only show what is printed; takes the mark out of them."""
    found = set()
    for row in rows:
        if isinstance(row, dict) and "printed" in row:
            if row.pop("printed") is not True or list(row) != ["label"]:
                raise ValueError("a row with printed = true has a label beside it, and nothing else")
            found.add(_text("label", row["label"]))
    return found


def _axis(axis: str, data: Any) -> list[dict[str, str]]:
    """Rows or columns as settings with a label each."""
    if isinstance(data, dict) and data:
        for key, values in data.items():
            if key not in FIELDS or not isinstance(values, list) or not values:
                raise ValueError(f"{axis}.{key} must be a non-empty list of values for one of {', '.join(FIELDS)}")
        combinations = itertools.product(*([(key, _text(key, v)) for v in values] for key, values in data.items()))
        return [dict(items) | {"label": " ".join(value for _, value in items)} for items in combinations]
    if isinstance(data, list) and data and all(isinstance(one, dict) for one in data):
        for one in data:
            if unknown := [key for key in one if key not in ("label", "inferred", *FIELDS)]:
                valid = ", ".join(("label", "inferred", *FIELDS))
                raise ValueError(f"unknown key {unknown[0]!r} in {axis}; valid keys: {valid}")
        settings = [{key: _text(key, value) for key, value in one.items()} for one in data]
        return [{"label": " ".join(v for k, v in one.items() if k in FIELDS)} | one for one in settings]
    raise ValueError(f"it needs {axis}: [[{axis}]] entries, or [{axis}] with lists")


def _labels(axis: str, settings: list[dict[str, str]]) -> tuple[str, ...]:
    labels = Counter(one["label"] for one in settings)
    if twice := [label for label, count in labels.items() if count > 1]:
        raise ValueError(f"{axis} has the label {twice[0]!r} twice")
    return tuple(labels)


def _cell(settings: dict[str, str], place: str) -> Cell:
    metric = settings.get("metric", "")
    if metric not in METRICS:
        raise ValueError(f"{place}: unknown metric {metric!r}; valid metrics: {', '.join(METRICS)}")
    if missing := [key for key in ("model", "reduction") if not settings.get(key)]:
        raise ValueError(f"{place}: {metric} needs {missing[0]}")
    try:
        needed = {"model", "reduction", *over(metric, settings["reduction"])}
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    if missing := [key for key in FIELDS if key in needed and not settings.get(key)]:
        why = "" if missing[0] in METRICS[metric].over else f", as what {settings['reduction']} leaves depends on clips"
        raise ValueError(f"{place}: {metric} needs {missing[0]}{why}")
    return Cell(metric=metric, **{key: settings[key] if key in needed else "" for key in FIELDS[:-1]})


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} must be text in quotes, not {value!r}")
    return value
