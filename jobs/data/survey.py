"""What the videos of a list are, as far as that shows without decoding them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.data.decoding.faults import Unreadable
from jobs.data.labels import Item
from jobs.data.reader import check_file


@dataclass
class Survey:
    """What was found."""

    missing: list[str] = field(default_factory=list)
    """Videos that are listed and not there, of all."""
    looked: int = 0
    """How many of those that are there were looked into."""
    refused: dict[str, str] = field(default_factory=dict)
    """Of these the ones that no job would read, and why."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Of the others, how many there are of each container and codec."""
    seconds: list[float] = field(default_factory=list)
    """And how long they are, by their own word."""


def survey(items: Sequence[Item], most: int) -> Iterator[Survey]:
    """Look at all videos for whether they are there, and into `most` of them, evenly spread; yields what has been found
    so far, again and again."""
    found = Survey()
    there = []
    for item in items:
        if Path(item.file).exists():
            there.append(item)
        else:
            found.missing.append(item.path)
    count = min(most, len(there))
    for item in (there[k * len(there) // count] for k in range(count)):
        found.looked += 1
        try:
            container = check_file(item.file)
            found.kinds[f"{container.name} with {'/'.join(container.codecs)}"] += 1
            found.seconds += _seconds(item.file)
        except Unreadable as error:
            found.refused[item.path] = str(error)
        yield found
    yield found


def _seconds(file: str) -> list[float]:
    import av

    try:
        with av.open(file, metadata_errors="replace") as content:
            return [content.duration / av.time_base] if content.duration else []
    except (av.FFmpegError, OSError):
        return []
