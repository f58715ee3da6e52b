"""How many videos of a job may be unreadable."""


class TooManyUnreadable(ValueError):
    """More videos cannot be read than the profile tolerates."""


def check_tolerance(
    skipped: list[dict[str, str]], listed: int, tolerance: float, key: str = "evaluate.tolerance", what: str = "videos"
) -> None:
    """Raise TooManyUnreadable where `skipped` are more than `tolerance` of `listed` videos, or all of them; `key` is
    what a profile calls the tolerance."""
    if len(skipped) == listed or len(skipped) > tolerance * listed:
        limit = f"{key} = {tolerance:g} allows {min(int(tolerance * listed), listed - 1)}"
        first = f"the first: {skipped[0]['video']} ({skipped[0]['reason']})"
        raise TooManyUnreadable(f"{len(skipped)} of {listed} {what} could not be read, {limit}; {first}")
