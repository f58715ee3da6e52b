from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.data.views import View, crop_offsets, distinct_views, frames_needed, views_of
from jobs.spec.cells import parse_views
from jobs.spec.sampling import Sampling, sampling

SAMPLINGS = st.sampled_from(["kinetics", "ssv2"])
LENGTHS = st.integers(1, 700)
CLIPS = st.integers(1, 17)


def videomae(dataset: str, frames: int = 16, stride: int = 4) -> Sampling:
    return sampling("videomae", dataset, frames, stride)


def swin(dataset: str, frames: int = 32, stride: int = 2) -> Sampling:
    return sampling("video_swin", dataset, frames, stride)


DENSE = videomae("kinetics")


def dense_clips(num_frames: int, clips: int, frames: int = 16, stride: int = 4) -> list[tuple[int, ...]]:
    """Dense sampling, step by step."""
    strided = [number for number in range(num_frames) if number % stride == 0]
    found = []
    for k in range(clips):
        room = max(len(strided) - frames, 0)
        start = int(k * room / (clips - 1)) if clips > 1 else room // 2
        clip = strided[start : start + frames]
        while len(clip) < frames:
            clip.append(strided[-1])
        found.append(tuple(clip))
    return found


@given(LENGTHS, CLIPS)
def test_kinetics_clips_are_the_protocols(num_frames, clips):
    assert DENSE.clips(num_frames, clips) == dense_clips(num_frames, clips)


@given(LENGTHS)
def test_two_ssv2_clips_are_the_protocols(num_frames):
    tick = num_frames / 16
    first = [int(tick * i) for i in range(16)]
    second = [int(tick * i + tick / 2) for i in range(16)]
    assert videomae("ssv2").clips(num_frames, 2) == [tuple(first), tuple(second)]
    union = sorted(first + second)
    assert videomae("ssv2").clips(num_frames, 2) == [tuple(union[0::2]), tuple(union[1::2])]
    assert videomae("ssv2").clips(num_frames, 1) == [tuple(second)]


@given(LENGTHS, CLIPS, st.integers(1, 40))
def test_ssv2_clips_step_through_the_ticks(num_frames, clips, frames):
    tick = Fraction(num_frames, frames)
    shifts = [tick / 2] if clips == 1 else [tick * k / clips for k in range(clips)]
    expected = [tuple(floor(tick * i + shift) for i in range(frames)) for shift in shifts]
    assert videomae("ssv2", frames).clips(num_frames, clips) == expected


@given(SAMPLINGS, LENGTHS, CLIPS)
def test_clips_lie_within_the_video_in_order(dataset, num_frames, clips):
    found = videomae(dataset).clips(num_frames, clips)
    assert len(found) == clips
    assert found == sorted(found)
    for clip in found:
        assert len(clip) == 16
        assert list(clip) == sorted(clip)
        assert clip[0] >= 0
        assert clip[-1] < num_frames


@given(st.integers(65, 700), st.integers(2, 17))
def test_kinetics_clips_reach_from_the_first_strided_frame_to_the_last(num_frames, clips):
    found = DENSE.clips(num_frames, clips)
    assert found[0][0] == 0
    assert found[-1][-1] == (num_frames - 1) // 4 * 4


def test_a_short_video_repeats_its_last_strided_frame():
    assert DENSE.clips(10, 3) == [(0, 4) + (8,) * 14] * 3
    assert DENSE.clips(1, 1) == [(0,) * 16]


def test_the_grids_of_table_2_share_most_of_their_views():
    views = [
        view for grid in ("2x3", "4x3", "6x3", "8x3", "16x3") for view in views_of(DENSE, 300, 224, 297, grid, 224)
    ]
    assert len(views) == (2 + 4 + 6 + 8 + 16) * 3
    distinct = set(views)
    assert len(distinct) == 66
    assert len({view.frames for view in distinct}) == 22
    assert len({view.offset for view in distinct}) == 3


@given(st.integers(224, 2000), st.integers(2, 9))
def test_crops_are_the_protocols(long_side, crops):
    assert crop_offsets(DENSE, long_side, 224, crops) == [
        int(j * (long_side - 224) / (crops - 1)) for j in range(crops)
    ]


def test_one_crop_is_the_central_one():
    assert crop_offsets(DENSE, 297, 224, 1) == [36]
    assert crop_offsets(DENSE, 224, 224, 3) == [0, 0, 0]


def test_views_run_along_the_longer_side_clip_by_clip():
    clips = videomae("ssv2").clips(100, 2)
    expected = [View(clip, offset) for clip in clips for offset in (0, 38, 76)]
    assert views_of(videomae("ssv2"), 100, 224, 300, "2x3", 224) == expected
    assert views_of(videomae("ssv2"), 100, 300, 224, "2x3", 224) == expected


@given(SAMPLINGS, LENGTHS, st.lists(CLIPS, min_size=1, max_size=4))
def test_frames_needed_are_those_of_all_grids(dataset, num_frames, clips):
    needed = frames_needed(videomae(dataset), num_frames, [f"{count}x3" for count in clips])
    taken = {n for count in clips for clip in videomae(dataset).clips(num_frames, count) for n in clip}
    assert needed == sorted(taken)


def test_grids_are_clips_by_crops():
    assert parse_views("5x3") == (5, 3)
    assert parse_views("16x1") == (16, 1)


@pytest.mark.parametrize("grid", ["", "5", "x3", "0x3", "5x0", "5×3", "5x3x2", "-1x3", " 5x3", "05x3", "5x3\n"])
def test_other_grids_are_refused(grid):
    with pytest.raises(ValueError, match="as in 5x3"):
        parse_views(grid)


def test_what_cannot_be_sampled_is_refused():
    with pytest.raises(ValueError, match="unknown sampling 'k400': choose from kinetics, ssv2"):
        videomae("k400")
    with pytest.raises(ValueError, match="unknown way of taking views 'mvit'; valid: videomae, video_swin"):
        sampling("mvit", "kinetics", 16, 4)
    with pytest.raises(ValueError, match="without frames"):
        videomae("ssv2").clips(0, 2)
    with pytest.raises(ValueError, match="a crop of 224 pixels does not fit a side of 200"):
        crop_offsets(DENSE, 200, 224, 3)
    with pytest.raises(ValueError, match="at least one clip"):
        DENSE.clips(100, 0)


def test_views_that_grids_share_are_counted_once() -> None:
    grids = ("2x3", "4x3", "6x3", "8x3", "16x3")
    distinct, members = distinct_views(DENSE, 300, 224, 297, grids, 224)
    assert (len(distinct), sum(map(len, members.values()))) == (66, 108)
    for grid, rows in members.items():
        assert [distinct[row] for row in rows] == views_of(DENSE, 300, 224, 297, grid, 224)
