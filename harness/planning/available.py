"""What there is to name in a table or on a command line, with a line on each."""

from collections.abc import Iterator
from dataclasses import fields

from harness.profiles import Profile, profile_lines
from harness.tables import groups, load_table, table_names
from models.catalog import ARCHITECTURES
from models.reduction import methods, registered
from results.metrics import METRICS


def available(profile: Profile) -> Iterator[str]:
    """Tables, models, reductions with their settings, metrics, and the profile's datasets, then profiles; as text."""
    sections = {
        "tables": [(name, load_table(name).title) for name in table_names()],
        "groups of tables": [(name, ", ".join(tables)) for name, tables in groups().items()],
        "models": [(name, f"{type(one).__name__}: {one.shape}") for name, one in ARCHITECTURES.items()],
        "reductions": [(_spelled(name), _first_line(registered(name))) for name in methods()],
        "metrics": [(name, f"{one.meaning}{f' ({one.unit})' * bool(one.unit)}") for name, one in METRICS.items()],
        f"datasets of profile {profile.name}": [
            (name, f"{one.num_classes} classes, sampled as {one.sampling}, {one.labels}")
            for name, one in profile.datasets.items()
        ],
        "profiles": profile_lines(),
    }
    for title, lines in sections.items():
        width = max((len(name) for name, _ in lines), default=0)
        yield f"{title}:"
        yield from (f"  {name:{width}}  {text}" for name, text in lines)


def _spelled(name: str) -> str:
    """A reduction as it is written, with its settings."""
    settings = [field.name for field in fields(registered(name))]
    return f"{name}:{','.join(f'{one}=…' for one in settings)}" if settings else name


def _first_line(one: type) -> str:
    return (one.__doc__ or "").strip().splitlines()[0]
