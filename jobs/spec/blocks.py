"""The blocks that videos are evaluated in, and how tasks share them."""

from collections.abc import Sequence


def split(count: int, size: int) -> list[tuple[int, int]]:
    """The blocks (start, end) that `count` videos are cut into; they do not depend on how many tasks share them."""
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def share(blocks: Sequence[tuple[int, int]], task: int, tasks: int) -> list[tuple[int, int]]:
    """The blocks of one of `tasks` tasks: without padding or duplicates, and none left out."""
    return list(blocks[task::tasks])
