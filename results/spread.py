"""The middle and the spread of samples, as records have them, and when they are flagged."""

import statistics

IQR_LIMIT = 0.10
"""A timing whose interquartile range exceeds this share of its median is flagged."""


def spread(values: list[float]) -> tuple[float, float]:
    """Median and interquartile range."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return median, high - low


def spread_flags(median: float, iqr: float, what: str = "median") -> list[str]:
    """A flag where the interquartile range is too large a share of the median."""
    return [f"IQR is {100 * iqr / median:.0f} % of the {what}"] if iqr > IQR_LIMIT * median else []
