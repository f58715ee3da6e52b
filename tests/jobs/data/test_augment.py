import numpy as np
import pytest

from jobs.data.augment import augmented, erased, rand_augment

RECIPE = "rand-m9-mstd0.5-inc1"
SEEDS = range(40)
"""Enough that every operation of RandAugment is met, most of them often."""


def textured(frames: int, side: int = 32) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (frames, side // 4, side // 4, 3), np.uint8)
    return coarse.repeat(4, 1).repeat(4, 2)


def test_identical_frames_stay_identical():
    still = textured(1).repeat(5, 0)
    changed = 0
    for seed in SEEDS:
        clip = augmented(still, RECIPE, seed)
        assert (clip == clip[0]).all()
        changed += not np.array_equal(clip, still)
    assert changed > len(SEEDS) / 2  # each of the two operations is skipped every other time


def test_every_frame_gets_what_it_would_get_alone():
    clip = textured(4)
    for seed in SEEDS:
        alone = [augmented(clip[t : t + 1], RECIPE, seed)[0] for t in range(4)]
        np.testing.assert_array_equal(augmented(clip, RECIPE, seed), alone)


def test_another_seed_is_another_augmentation():
    clip = textured(2)
    assert len({augmented(clip, RECIPE, seed).tobytes() for seed in SEEDS}) > len(SEEDS) / 2


def test_the_clip_given_is_left_alone():
    clip = textured(2)
    for seed in SEEDS:
        augmented(clip, RECIPE, seed)
        erased(clip, 1, seed)
    np.testing.assert_array_equal(clip, textured(2))


@pytest.mark.parametrize("description", [RECIPE, "rand", "rand-m9-n3-p0.7", "rand-mstd101-mmax12-tweights", "rand-t3a"])
def test_descriptions_of_timm_are_taken(description):
    assert augmented(textured(2), description, 0).shape == (2, 32, 32, 3)


@pytest.mark.parametrize(
    "description",
    ["m9", "augmix-m3", "rand-9", "rand-m9-mstd", "rand-m9 -inc1", "rand-m9-inc2", "rand-q3", "rand-tall"],
)
def test_other_descriptions_are_refused_in_a_line(description):
    with pytest.raises(ValueError, match=r"^train\.randaugment: .* is not a RandAugment; right is [^\n]*$") as error:
        rand_augment(description, 224)
    assert repr(description) in str(error.value)


def test_erasing_fills_one_box_of_all_frames_with_noise_like_normalised_pixels():
    clip = np.zeros((3, 64, 64, 3), np.uint8)
    means = []
    for seed in SEEDS:
        changed = (erased(clip, 1, seed) > 0).any(axis=(0, 3))
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        box = np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        noise = erased(clip, 1, seed)[box]
        assert (noise > 0).any(axis=(2, 3)).all()  # in every frame
        assert 0.01 < noise[0, ..., 0].size / 64**2 < 0.35  # timm: 2 % to a third
        assert noise[0].tobytes() != noise[1].tobytes()
        means.append(noise.mean(axis=(0, 1, 2)))
        outside = erased(clip, 1, seed)
        outside[box] = 0
        assert not outside.any()
    np.testing.assert_allclose(np.mean(means, 0), [124, 116, 104], atol=4)


def test_erasing_happens_as_often_as_asked():
    clip = np.zeros((1, 16, 16, 3), np.uint8)
    assert 60 < sum(erased(clip, 0.25, seed).any() for seed in range(320)) < 100
    assert not erased(clip, 0, 0).any()


@pytest.mark.parametrize("increasing", [0, 1])
def test_no_operation_fails_or_blackens_at_the_largest_magnitude(increasing):
    bright = np.full((1, 16, 16, 3), 255, np.uint8)
    bright[:, 8:] = 130
    for seed in range(80):
        assert augmented(bright, f"rand-m10-n1-p1-inc{increasing}", seed).any()
