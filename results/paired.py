"""Whether two accuracies over the same videos differ: paired intervals and tests.

Only videos whose answers differ between the two say anything (McNemar, 1947). Intervals are the score intervals of
Tango (Statistics in Medicine 17, 1998): of 10,000 draws they cover the true difference in 95 ± 1 % wherever ten or more
answers are expected to differ, and in more than that where fewer are, as whole numbers allow nothing else.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from results.answers import Answers

LEVEL = 0.05
"""Above which the probability of chance is too large for a difference to count as real."""
_Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""
_Z_POWER = 0.8416212335729143
"""Its 80 % point."""
POWER = 0.8
"""The chance with which a drop is to be told, where it is there."""


@dataclass(frozen=True)
class Paired:
    """The answers of two over the same videos."""

    videos: int
    """That both have evaluated."""
    lost: int
    """Right by the first alone."""
    won: int
    """Right by the second alone."""

    @property
    def change(self) -> float:
        """From the first to the second, in points."""
        return 100 * (self.won - self.lost) / self.videos

    @property
    def changed(self) -> int:
        """Videos whose answers differ."""
        return self.lost + self.won


def paired(first: Answers, second: Answers) -> Paired | None:
    """The two over the videos that both have evaluated; None where their lists differ or there is no such video."""
    if first.videos != second.videos or first.count != second.count:
        return None
    both = first.seen & second.seen
    lost, won = (both & first.right & ~second.right).bit_count(), (both & second.right & ~first.right).bit_count()
    return Paired(both.bit_count(), lost, won) if both else None


@lru_cache(maxsize=100_000)
def interval(pair: Paired) -> tuple[float, float]:
    """The 95 % interval of the change, in points: every change that the score test does not reject. Kept, as a table,
    its plots and comparisons ask for the same ones."""
    n, difference = pair.videos, pair.won - pair.lost

    def score(change: float) -> float:
        """How many standard deviations the difference is above a true `change`, a share of the videos; the probability
        of losing alone is the likeliest one under that change."""
        linear = (2 * n - difference) * change - pair.changed
        constant = -pair.lost * change * (1 - change)
        lost = (math.sqrt(max(linear**2 - 8 * n * constant, 0)) - linear) / (4 * n)
        variance = n * (2 * lost + change * (1 - change))
        return (difference - n * change) / math.sqrt(variance) if variance > 0 else math.inf * (difference - n * change)

    middle = difference / n
    return 100 * _crossing(score, -1, middle, _Z), 100 * _crossing(score, middle, 1, -_Z)


def _crossing(falling: Callable[[float], float], low: float, high: float, level: float) -> float:
    """Where a falling function takes a value, to the last bits; the end towards it where it does not."""
    for _ in range(60):
        middle = (low + high) / 2
        if falling(middle) > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def by_chance(pair: Paired) -> float:
    """How probable it is that as many answers or more change for one side, where chance alone changes them: McNemar's
    exact test, two-sided."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(pair.lost, pair.won), pair.changed, 0.5))) if pair.changed else 1.0


def holm(probabilities: Sequence[float]) -> list[float]:
    """The probabilities as corrected for being several (Holm, 1979): the smallest counts for all of them, the next for
    one fewer, and none is below one before it."""
    count, so_far = len(probabilities), 0.0
    corrected = [0.0] * count
    for rank, index in enumerate(sorted(range(count), key=probabilities.__getitem__)):
        so_far = max(so_far, min(1.0, (count - rank) * probabilities[index]))
        corrected[index] = so_far
    return corrected


def videos_needed(pair: Paired, drop: float) -> float:
    """How many videos would tell a true change of `drop` points in 80 of 100 cases, at the share of answers that differ
    here (Connor, Biometrics 43, 1987); infinite where nothing differs or the share is too small for that change."""
    share, change = pair.changed / pair.videos, drop / 100
    if share < change or not change:
        return math.inf
    return ((_Z * math.sqrt(share) + _Z_POWER * math.sqrt(share - change**2)) / change) ** 2
