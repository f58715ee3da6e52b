"""The views of a video: K temporal clips times S spatial crops, written "5x3". One clip or one crop means the central
one."""

from collections.abc import Iterable
from dataclasses import dataclass

from jobs.spec.cells import parse_views
from jobs.spec.sampling import Sampling


@dataclass(frozen=True)
class View:
    """One clip and one crop of a video: frame numbers, and pixels from the start of the longer side."""

    frames: tuple[int, ...]
    offset: int


def views_of(sampling: Sampling, num_frames: int, height: int, width: int, grid: str, crop: int) -> list[View]:
    """The K·S views of a resized video of `num_frames` frames, height × width, all crops of a clip together."""
    clips, crops = parse_views(grid)
    offsets = crop_offsets(sampling, max(height, width), crop, crops)
    return [View(numbers, offset) for numbers in sampling.clips(num_frames, clips) for offset in offsets]


def distinct_views(
    sampling: Sampling, num_frames: int, height: int, width: int, grids: Iterable[str], crop: int
) -> tuple[list[View], dict[str, list[int]]]:
    """The distinct views of a resized video under all `grids`, and for each grid which of them make it up."""
    number: dict[View, int] = {}
    members = {}
    for grid in grids:
        views = views_of(sampling, num_frames, height, width, grid, crop)
        members[grid] = [number.setdefault(view, len(number)) for view in views]
    return list(number), members


def frames_needed(sampling: Sampling, num_frames: int, grids: Iterable[str]) -> list[int]:
    """The sorted frame numbers that the clips of all `grids` take."""
    clip_counts = {parse_views(grid)[0] for grid in grids}
    return sorted({number for count in clip_counts for clip in sampling.clips(num_frames, count) for number in clip})


def crop_offsets(sampling: Sampling, long_side: int, crop: int, crops: int) -> list[int]:
    """Where crops of `crop` pixels start along a side of `long_side`."""
    if long_side < crop:
        raise ValueError(f"a crop of {crop} pixels does not fit a side of {long_side}")
    return sampling.offsets(long_side - crop, crops)


def resized(sampling: Sampling, height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width of a frame whose shorter side is resized to `side`."""
    long = sampling.long_side(max(height, width), min(height, width), side)
    return (side, long) if width >= height else (long, side)
