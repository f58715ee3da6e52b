from dataclasses import replace
from fractions import Fraction
from math import floor, log

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jobs.data import samples
from jobs.data.decoding.faults import Unreadable
from jobs.data.pool import DecodePool
from jobs.data.requests import Video
from jobs.data.samples import SampleRequest, Samples, random_crop, read_samples
from jobs.spec.sampling import sampling
from tests.bad_videos import number_of, numbered_frames, write_video

PAIR = ((0, 1, 7, 0), (0, 1, 7, 1))
DENSE, SEGMENTS = (sampling("videomae", dataset, 8, 4) for dataset in ("kinetics", "ssv2"))
RECIPE = SampleRequest(PAIR, DENSE, 32, 48, 0.08, 4 / 3, "rand-m9-mstd0.5-inc1", 0.5, 0.25, 24)
PLAIN = replace(RECIPE, randaugment="", flip=0, erasing=0)
WHOLE = replace(PLAIN, side=64, short_side=64, crop_scale=1, crop_ratio=1)
"""Of square videos, all of every frame."""


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return str(write_video(tmp_path_factory.mktemp("videos") / "square.mp4", numbered_frames(90, 64, 64)))


@pytest.fixture
def still(monkeypatch):
    """Every video is made to be of one frame over and over, without the losses of encoding."""
    frame = numbered_frames(1, 48, 64)[0]

    def read(file, request):
        numbers = np.array(request.numbers(90))
        return Video(90, numbers, np.stack([frame] * len(numbers)), "none")

    monkeypatch.setattr(samples, "read_spans", read)


def probe(file: str, request: SampleRequest) -> tuple[Samples, int]:
    """The samples, and how many threads torch would use."""
    return read_samples(file, request), torch.get_num_threads()


def test_a_request_gives_the_same_bytes_here_and_in_a_decoder(video):
    here = read_samples(video, RECIPE)
    with DecodePool(1, 60, decode=probe) as pool:
        futures = [pool.submit(video, request) for request in (PLAIN, RECIPE)]
        there, threads = [future.result() for future in futures][1]
    assert threads == 1
    assert here.clips.shape == (2, 8, 32, 32, 3)
    assert here.branches.shape == (2, 24)
    assert (here.clips.dtype, here.branches.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(there.clips, here.clips)
    np.testing.assert_array_equal(there.branches, here.branches)


def test_a_clip_depends_on_its_seeds_alone(video):
    both, second = read_samples(video, RECIPE), read_samples(video, replace(RECIPE, seeds=PAIR[1:]))
    np.testing.assert_array_equal(both.clips[1:], second.clips)
    np.testing.assert_array_equal(both.branches[1:], second.branches)


def test_a_video_is_decoded_once_for_all_copies(video, monkeypatch):
    opened, opening = [], av.open
    monkeypatch.setattr(av, "open", lambda *args, **kwargs: opened.append(args) or opening(*args, **kwargs))
    assert len(read_samples(video, RECIPE).clips) == 2
    assert len(opened) == 2  # to list the packets, and to decode


def literal_frames(request: SampleRequest, seeds: tuple[int, ...], num_frames: int) -> list[int]:
    """The protocol's training clip, step by step."""
    rng = np.random.default_rng(seeds)
    rng.random(request.branches, np.float32)
    clip = []
    frames, stride = request.sampling.frames, request.sampling.stride
    if request.sampling.dataset == "ssv2":
        tick = Fraction(num_frames, frames)
        for i in range(frames):
            segment = [n for n in range(num_frames) if floor(tick * i) <= n < floor(tick * (i + 1))]
            clip.append(segment[rng.integers(len(segment))] if segment else floor(tick * i))
        return clip
    strided = [number for number in range(num_frames) if number % stride == 0]
    starts = [start for start in range(len(strided)) if start + frames <= len(strided)] or [0]
    start = starts[rng.integers(len(starts))]
    for i in range(start, start + frames):
        clip.append(strided[i] if i < len(strided) else strided[-1])
    return clip


@pytest.mark.parametrize("dataset", ["kinetics", "ssv2"])
@pytest.mark.parametrize("frames", [8, 32])
def test_clips_show_the_frames_of_the_protocol(dataset, frames, video):
    request = replace(WHOLE, sampling=sampling("videomae", dataset, frames, 4))
    shown = [[number_of(frame) for frame in clip] for clip in read_samples(video, request).clips]
    assert shown == [literal_frames(request, seeds, 90) for seeds in PAIR]


@given(st.sampled_from(["kinetics", "ssv2"]), st.integers(1, 400), st.integers(1, 40), st.integers(1, 5))
def test_the_frames_asked_for_are_those_of_all_copies_every_time(dataset, num_frames, frames, stride):
    request = replace(RECIPE, sampling=sampling("videomae", dataset, frames, stride))
    taken = {number for seeds in PAIR for number in literal_frames(request, seeds, num_frames)}
    assert request.numbers(num_frames) == sorted(taken)
    assert request.numbers(num_frames) == sorted(taken)


def test_every_start_and_every_frame_of_a_segment_is_met():
    many = [replace(RECIPE, seeds=((seed,),)) for seed in range(300)]
    assert {request.numbers(48)[0] for request in many} == {0, 4, 8, 12, 16}
    assert {n for request in many for n in replace(request, sampling=SEGMENTS).numbers(40)} == set(range(40))


@given(
    st.tuples(st.integers(20, 400), st.integers(20, 400)), st.floats(0.05, 1), st.floats(1, 2.5), st.integers(0, 2**32)
)
def test_crops_keep_their_bounds(size, scale, ratio, seed):
    top, left, tall, wide = random_crop(size, scale, ratio, np.random.default_rng(seed))
    height, width = size
    assert 0 <= top <= top + tall <= height
    assert 0 <= left <= left + wide <= width
    fallback = (min(height, round(width * ratio)), min(width, round(height * ratio)))
    if (tall, wide) != fallback:
        # Sides are rounded to the nearest pixel.
        assert (tall + 0.5) * (wide + 0.5) >= scale * height * width
    assert abs(log(wide / tall)) <= log(ratio) + 0.5 / tall + 0.5 / wide + 0.01


def test_crops_spread_over_area_ratio_and_place():
    rng = np.random.default_rng(0)
    crops = np.array([random_crop((1000, 1000), 0.08, 4 / 3, rng) for _ in range(2000)])
    top, left, tall, wide = crops.T
    area, aspect = tall * wide / 1e6, np.log(wide / tall) / log(4 / 3)
    small = area < 0.5  # large ones do not fit at every ratio
    assert 0.08 <= area.min() < 0.1
    assert 0.95 < area.max() <= 1
    np.testing.assert_allclose(np.quantile(area[small], [0.25, 0.5, 0.75]), [0.185, 0.29, 0.395], atol=0.03)
    np.testing.assert_allclose(np.quantile(aspect[small], [0.25, 0.5, 0.75]), [-0.5, 0, 0.5], atol=0.12)
    for start, room in ((top, 1000 - tall), (left, 1000 - wide)):
        np.testing.assert_allclose(
            np.quantile((start / (room + 1))[small], [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.06
        )


def test_where_no_crop_fits_the_largest_central_one_is_taken():
    rng = np.random.default_rng(0)
    assert random_crop((100, 300), 1, 4 / 3, rng) == (0, 83, 100, 133)
    assert random_crop((300, 100), 1, 4 / 3, rng) == (83, 0, 133, 100)
    assert random_crop((100, 120), 1, 4 / 3, rng) == (0, 0, 100, 120)


def test_all_frames_of_a_clip_are_treated_alike(still):
    for seed in range(12):
        for clip in read_samples("", replace(RECIPE, seeds=((seed, 0), (seed, 1)), erasing=0)).clips:
            assert (clip == clip[0]).all()


def test_a_flip_mirrors_and_nothing_else(still):
    kept, mirrored = read_samples("", PLAIN), read_samples("", replace(PLAIN, flip=1))
    np.testing.assert_array_equal(mirrored.clips, kept.clips[:, :, :, ::-1])
    np.testing.assert_array_equal(mirrored.branches, kept.branches)


def test_copies_differ(still):
    first, second = read_samples("", PLAIN).clips
    assert (first != second).any()


def test_half_of_the_clips_are_mirrored(still):
    seeds = tuple((seed,) for seed in range(100))
    request = replace(PLAIN, seeds=seeds, sampling=replace(DENSE, frames=1))
    mirrored = read_samples("", replace(request, flip=0.5)).clips != read_samples("", request).clips
    assert 35 < mirrored.any(axis=(1, 2, 3, 4)).sum() < 65


def test_numbers_for_stochastic_depth_are_uniform_and_owe_nothing_to_the_augmentation(still):
    seeds = tuple((seed,) for seed in range(50))
    request = replace(PLAIN, seeds=seeds, sampling=replace(DENSE, frames=1))
    branches = read_samples("", request).branches
    assert branches.min() >= 0
    assert branches.max() < 1
    np.testing.assert_allclose(np.quantile(branches, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.05)
    other = replace(RECIPE, seeds=seeds, sampling=sampling("videomae", "ssv2", 3, 4), side=16, crop_scale=0.5, flip=1)
    np.testing.assert_array_equal(read_samples("", other).branches, branches)


def test_a_broken_video_has_no_samples(tmp_path):
    broken = tmp_path / "text.mp4"
    broken.write_text("This is not a video.\n" * 100)
    with pytest.raises(Unreadable, match="not a video"):
        read_samples(str(broken), RECIPE)


def test_a_bad_description_is_refused_before_any_video_is_asked_for():
    with pytest.raises(ValueError, match=r"^train\.randaugment: 'rand-x9' is not a RandAugment"):
        replace(RECIPE, randaugment="rand-x9")
