"""How many times as fast one thing is as another, by the samples of their timings."""

from collections.abc import Sequence

DRAWS = 2000
"""Of a bootstrap; its ends are the same in every report, as its random numbers are."""


def ratio_interval(samples: Sequence[float], base: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the ratio of the medians: the percentiles of a bootstrap that draws both anew. It holds for
    the runs that the samples are of; what changes between runs is in no sample."""
    import numpy as np
    from scipy.stats import bootstrap

    def ratio(one: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.median(one, axis) / np.median(other, axis)

    ends = bootstrap((samples, base), ratio, n_resamples=DRAWS, method="percentile", rng=0).confidence_interval
    return float(ends.low), float(ends.high)
