"""Views as the Video Swin Transformer's own tests take them, against its steps read literally."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.data.views import View, crop_offsets, frames_needed, resized, views_of
from jobs.spec.sampling import sampling

LENGTHS = st.integers(1, 1300)
DENSE = sampling("video_swin", "kinetics", 32, 2)
SEGMENTS = sampling("video_swin", "ssv2", 32, 2)


def test_clips_of_300_frames_are_centred():
    clips = DENSE.clips(300, 4)
    assert [clip[0] for clip in clips] == [29, 88, 148, 207]
    assert all(clip == tuple(range(clip[0], clip[0] + 64, 2)) for clip in clips)


@given(LENGTHS, st.integers(1, 10))
def test_dense_clips(num_frames, clips):
    """Each clip is in the middle of its share of the starts that there are; a short video is gone through again."""
    span = 32 * 2
    share = (num_frames - span + 1) / clips
    starts = [k * share + share / 2 for k in range(clips)] if num_frames > span - 1 else [0] * clips
    expected = []
    for start in np.array(starts).astype(int):
        expected.append(tuple(int(number) for number in np.mod(start + np.arange(32) * 2, num_frames)))
    assert DENSE.clips(num_frames, clips) == expected


def test_a_short_video_wraps_around():
    assert DENSE.clips(10, 2) == [tuple(2 * i % 10 for i in range(32))] * 2
    assert DENSE.clips(63, 1) == [(*range(0, 63, 2),)]
    assert DENSE.clips(1, 4) == [(0,) * 32] * 4
    assert DENSE.clips(62, 1)[0][-2:] == (60, 0)


@given(LENGTHS)
def test_segments(num_frames):
    length = float(num_frames - 1) / 32
    expected = []
    for i in range(32):
        start, end = int(np.round(length * i)), int(np.round(length * (i + 1)))
        expected.append((start + end) // 2)
    assert SEGMENTS.clips(num_frames, 1) == [tuple(expected)]


def test_of_segments_there_is_one_clip():
    with pytest.raises(ValueError, match="2 clips of a video sampled as ssv2: this model's protocol has 1 there"):
        SEGMENTS.clips(100, 2)
    with pytest.raises(ValueError, match="at least one clip is needed, not 0"):
        SEGMENTS.clips(100, 0)


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(32, 320))
def test_the_long_side_is_rounded_half_up(one, other, side):
    short, long = sorted((one, other))
    assert resized(DENSE, short, long, side) == (side, int(long * side / short + 0.5))
    assert resized(DENSE, long, short, side) == (
        (int(long * side / short + 0.5), side) if long > short else (side, side)
    )


def test_frames_of_another_ratio_than_videomaes():
    videomae = sampling("videomae", "kinetics", 16, 4)
    assert (resized(DENSE, 256, 340, 224), resized(videomae, 256, 340, 224)) == ((224, 298), (224, 297))
    assert resized(DENSE, 256, 342, 224) == resized(videomae, 256, 342, 224) == (224, 299)


@given(st.integers(224, 3000))
def test_three_crops_are_whole_steps_apart(long):
    step = (long - 224) // 2
    assert crop_offsets(DENSE, long, 224, 3) == [0, step, 2 * step]
    assert crop_offsets(DENSE, long, 224, 1) == [step]


def test_where_the_room_is_odd_the_last_crop_is_a_pixel_from_the_end():
    assert crop_offsets(DENSE, 299, 224, 3) == [0, 37, 74]
    assert crop_offsets(sampling("videomae", "kinetics", 16, 4), 299, 224, 3) == [0, 37, 75]
    with pytest.raises(ValueError, match="at least one crop is needed, not 0"):
        crop_offsets(DENSE, 299, 224, 0)


def test_views_run_along_the_longer_side_clip_by_clip():
    expected = [View(clip, offset) for clip in DENSE.clips(300, 4) for offset in (0, 37, 74)]
    assert views_of(DENSE, 300, 224, 299, "4x3", 224) == expected
    assert views_of(DENSE, 300, 299, 224, "4x3", 224) == expected
    assert frames_needed(DENSE, 300, ["4x3"]) == sorted({n for clip in DENSE.clips(300, 4) for n in clip})


@given(LENGTHS, st.integers(0, 2**32 - 1))
def test_a_training_clip_is_a_span_from_any_frame(num_frames, seed):
    clip = DENSE.random_clip(num_frames, np.random.default_rng(seed))
    assert clip == tuple((clip[0] + 2 * i) % num_frames for i in range(32))
    assert 0 <= clip[0] <= max(num_frames - 64, 0)


def test_training_clips_start_everywhere():
    starts = {DENSE.random_clip(70, np.random.default_rng(seed))[0] for seed in range(300)}
    assert starts == set(range(7))


@given(LENGTHS, st.integers(0, 2**32 - 1))
def test_a_training_clip_in_segments_has_a_frame_of_each(num_frames, seed):
    clip = SEGMENTS.random_clip(num_frames, np.random.default_rng(seed))
    length = (num_frames - 1) / 32
    for i, number in enumerate(clip):
        assert round(length * i) <= number <= round(length * (i + 1))
