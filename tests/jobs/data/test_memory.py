from pathlib import Path

import numpy as np
import pytest

from jobs.data import demo
from jobs.data.labels import Item
from jobs.data.memory import StridedRequest, central_clip, random_clip, read_all
from jobs.data.views import views_of


def ramp(length: int, height: int = 6, width: int = 9) -> np.ndarray:
    """Every pixel tells its frame, row and column."""
    place = np.indices((length, height, width))
    return np.stack(list(place), axis=-1).astype(np.uint8)


def test_random_clips_reach_every_start_and_crop_and_nothing_else() -> None:
    frames, rng = ramp(10), np.random.default_rng(0)
    corners = set()
    for _ in range(600):
        clip = random_clip(frames, 8, 6, rng)
        assert clip.shape == (8, 6, 6, 3)
        assert np.array_equal(clip - clip[0, 0, 0], ramp(8)[:, :, :6])
        corners.add(tuple(clip[0, 0, 0]))
    assert corners == {(start, 0, left) for start in range(3) for left in range(4)}


def test_a_short_video_repeats_its_last_frame() -> None:
    for clip in (random_clip(ramp(3), 5, 6, np.random.default_rng(0)), central_clip(ramp(3), 5, 6)):
        assert list(clip[:, 0, 0, 0]) == [0, 1, 2, 2, 2]


@pytest.mark.parametrize("num_frames", [61, 64, 65, 131, 136])
@pytest.mark.parametrize("size", [(6, 9), (9, 6), (6, 6)])
def test_the_central_clip_is_the_one_view_of_evaluation(num_frames: int, size: tuple[int, int]) -> None:
    numbers = StridedRequest(6).numbers(num_frames)
    clip = central_clip(ramp(len(numbers), *size), 16, 6)
    (view,) = views_of("kinetics", num_frames, *size, "1x1", 6)
    assert [numbers[row] for row in clip[:, 0, 0, 0]] == list(view.frames)
    assert clip[0, 0, 0, 1 if size[0] > size[1] else 2] == view.offset


def test_videos_come_in_order_and_an_unreadable_one_is_named(tmp_path: Path) -> None:
    items = []
    for index, motion in enumerate(("left", "up")):
        demo.encode(demo.render(motion, "squares", (0, index))[:9], tmp_path / f"{motion}.mp4")
        items.append(Item(index, f"{motion}.mp4", str(tmp_path / f"{motion}.mp4"), 0))
    frames = list(read_all(items, StridedRequest(36), 1, 30.0))
    assert [video.shape for video in frames] == [(3, 36, 48, 3)] * 2
    assert not np.array_equal(frames[0], frames[1])

    with pytest.raises(ValueError, match=r"gone\.mp4"):
        list(read_all([Item(0, "gone.mp4", str(tmp_path / "gone.mp4"), 0)], StridedRequest(36), 1, 30.0))
