import torch

from jobs.spec.recipe import Recipe
from jobs.training.mixing import Mixing

CLIPS = torch.randn(4, 3, 5, 32, 32, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 1])


def test_without_mixing_targets_are_smoothed() -> None:
    clips, targets = Mixing(Recipe(mixup=0, cutmix=0, label_smoothing=0.1), 4)(CLIPS, LABELS, (0, 0, 0))
    assert clips is CLIPS
    expected = torch.full((4, 4), 0.1 / 4)
    expected[torch.arange(4), LABELS] += 0.9
    torch.testing.assert_close(targets, expected)


def test_a_box_of_cutmix_is_the_same_in_all_frames_and_its_area_is_in_the_targets() -> None:
    mixing = Mixing(Recipe(mixup=0, cutmix=1.0, label_smoothing=0.0), 4)
    seen = 0
    for step in range(8):
        clips, targets = mixing(CLIPS.clone(), LABELS, (step, 0, 0))
        other = (clips != CLIPS)[0]
        assert torch.equal(clips[0][other], CLIPS[3][other])
        assert all(torch.equal(other[channel, frame], other[0, 0]) for channel in range(3) for frame in range(5))
        share = other[0, 0].float().mean()
        torch.testing.assert_close(targets[0], torch.tensor([1 - share, share, 0, 0]))
        seen += bool(share > 0)
    assert seen > 4


def test_mixup_mixes_pairs_and_their_targets() -> None:
    clips, targets = Mixing(Recipe(mixup=0.8, cutmix=0, label_smoothing=0.0), 4)(CLIPS.clone(), LABELS, (3, 1, 0))
    share = targets[0, 0]
    torch.testing.assert_close(clips[0], share * CLIPS[0] + (1 - share) * CLIPS[3])
    torch.testing.assert_close(targets.sum(1), torch.ones(4))


def test_the_place_decides_the_mix() -> None:
    mixing = Mixing(Recipe(seed=5), 4)
    first = mixing(CLIPS.clone(), LABELS, (1, 2, 3))
    other = mixing(CLIPS.clone(), LABELS, (1, 2, 4))
    again = mixing(CLIPS.clone(), LABELS, (1, 2, 3))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
