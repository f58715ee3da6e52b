"""The numbers the paper prints, one CSV file a table, to show beside what was measured."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

_FOLDER = Path(__file__).parent / "published"


@dataclass(frozen=True)
class Published:
    """One printed number and where it is printed."""

    value: float
    metric: str
    source: str
    digits: int = field(default=0, compare=False)
    """Decimals that are printed."""


def load_published(table: str) -> dict[tuple[str, str], Published]:
    """Return the printed numbers of a table by (row, column), {} for a table without any."""
    path = _FOLDER / f"{table}.csv"
    # Looking among the files there are keeps a table's name from reaching out of the folder.
    if path not in _FOLDER.glob("*.csv"):
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        return {
            (row["row"], row["column"]): Published(
                float(row["value"]), row["metric"], row["source"], len(row["value"].partition(".")[2])
            )
            for row in csv.DictReader(file)
        }
