"""Paired comparisons of accuracies: intervals by simulation, tests against scipy's and literal versions."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from results.answers import Answers, bits, digest
from results.paired import Paired, by_chance, holm, interval, paired, videos_needed

DRAWS = 10_000
VIDEOS = (64, 256, 1000, 5000, 20_000)
AGREEMENTS = (0.9, 0.95, 0.99, 0.999)
LOSSES = (0.5, 0.7, 0.9)
"""Of the answers that change, the share that is lost."""


@pytest.mark.parametrize(("videos", "agreement"), list(product(VIDEOS, AGREEMENTS)))
def test_intervals_cover_a_known_difference_in_95_of_100_draws(videos: int, agreement: float) -> None:
    """In 95 ± 1 % where ten answers or more are expected to change; in no fewer than 93 % where whole numbers leave no
    choice but a step, and in more where nearly nothing changes."""
    rng = np.random.default_rng((videos, int(1000 * agreement)))
    for losses in LOSSES:
        lost, won = (1 - agreement) * losses, (1 - agreement) * (1 - losses)
        true = 100 * (won - lost)
        drawn, counts = np.unique(
            rng.multinomial(videos, [lost, won, agreement], DRAWS)[:, :2], axis=0, return_counts=True
        )
        ends = [interval(Paired(videos, *map(int, pair))) for pair in drawn]
        covered = sum(count for (low, high), count in zip(ends, counts, strict=True) if low <= true <= high) / DRAWS
        if videos * (1 - agreement) >= 9.99:
            assert abs(covered - 0.95) <= 0.01, losses
        else:
            assert covered >= 0.925, losses


def test_intervals_are_near_those_of_a_bootstrap() -> None:
    rng = np.random.default_rng(0)
    for videos, lost, won in ((1000, 60, 30), (5000, 100, 90), (19_796, 400, 300)):
        sides = np.repeat([-1, 1, 0], [lost, won, videos - lost - won])
        draws = [100 * rng.choice(sides, videos).mean() for _ in range(2000)]
        low, high = np.percentile(draws, [2.5, 97.5])
        found = interval(Paired(videos, lost, won))
        assert np.allclose(found, (low, high), atol=0.06 * (high - low))


@pytest.mark.parametrize(
    ("pair", "expected"), [(Paired(64, 0, 0), (-5.6624, 5.6624)), (Paired(64, 10, 2), (-24.0003, -2.2102))]
)
def test_the_ends_of_an_interval_are_where_the_score_is_the_quantile(
    pair: Paired, expected: tuple[float, float]
) -> None:
    assert interval(pair) == pytest.approx(expected, abs=1e-3)
    n, b, c = pair.videos, pair.won, pair.lost
    for end, z in zip(interval(pair), (1.959964, -1.959964), strict=True):
        d = end / 100
        # Tango (1998): the likeliest share of losses under the change d is the root of 2n q² + B q + C.
        q = max(np.roots([2 * n, (2 * n - b + c) * d - b - c, -c * d * (1 - d)]).real)
        assert (b - c - n * d) / math.sqrt(n * (2 * q + d * (1 - d))) == pytest.approx(z, abs=1e-4)


@given(st.integers(0, 300), st.integers(0, 300))
def test_chance_is_scipys_exact_test(lost: int, won: int) -> None:
    expected = binomtest(lost, lost + won).pvalue if lost + won else 1
    assert by_chance(Paired(1000, lost, won)) == pytest.approx(expected, rel=1e-9)


def literal_holm(probabilities: list[float]) -> list[float]:
    """Step by step: each is multiplied by how many are not smaller and come after, and by no less than one before."""
    left, out = sorted((p, k) for k, p in enumerate(probabilities)), {}
    largest = 0.0
    while left:
        p, k = left[0]
        largest = max(largest, p * len(left))
        out[k] = min(largest, 1.0)
        left = left[1:]
    return [out[k] for k in range(len(probabilities))]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holms_correction_is_the_literal_one(probabilities: list[float]) -> None:
    assert holm(probabilities) == pytest.approx(literal_holm(probabilities))


def test_the_videos_needed_tell_a_drop_in_80_of_100_draws() -> None:
    pair, drop = Paired(2000, 70, 50), 1.0
    needed = math.ceil(videos_needed(pair, drop))
    assert 4000 < needed < 6000
    share = pair.changed / pair.videos
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(needed, [(share + drop / 100) / 2, (share - drop / 100) / 2, 1 - share], 4000)
    z = (drawn[:, 0] - drawn[:, 1]) / np.sqrt(drawn[:, 0] + drawn[:, 1])
    assert np.mean(z > 1.96) == pytest.approx(0.8, abs=0.03)
    assert videos_needed(Paired(100, 0, 0), 0.1) == math.inf


def answers(right: str, videos: str = "list") -> Answers:
    """Of a word: a video a letter, . for one that was not evaluated."""
    return Answers(len(right), bits(c == "1" for c in right), bits(c != "." for c in right), videos)


def test_answers_are_compared_over_the_videos_that_both_have() -> None:
    assert paired(
        answers("1101.1"),
        answers("1010.."),
    ) == Paired(4, 2, 1)
    assert paired(answers("11"), answers("11", "other")) is None
    assert paired(answers("1."), answers(".1")) is None
    assert digest([("a", 1), ("b", 2)]) != digest([("b", 2), ("a", 1)])
