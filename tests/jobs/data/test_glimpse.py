"""The set on which it matters which tokens stay: a small disc for a moment, before a ground that never moves."""

import collections
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jobs.data import glimpse
from jobs.data.generated import Video

SET = glimpse.SET
VAL, TRAIN = SET.videos("val")[:24], SET.videos("train")[:24]


def departing(video: Video) -> np.ndarray:
    """(F, SIDE, SIDE) bool: where a frame is clearly not the ground, which the median over time is."""
    frames = glimpse.pixels(video).astype(int)
    return np.abs(frames - np.median(frames, axis=0)).max(axis=-1) > 30


def test_classes_are_balanced_and_no_seed_is_used_twice() -> None:
    every = SET.videos("train") + SET.videos("val")
    assert len({video.seed for video in every}) == len({video.path for video in every}) == len(every)
    for split, size in SET.sizes.items():
        counts = collections.Counter(video.label for video in SET.videos(split))
        assert set(counts.values()) == {size // 8}


def test_in_val_the_disc_is_small_and_seen_for_two_frames_of_a_clip() -> None:
    for video in VAL:
        seen = departing(video)
        frames = np.flatnonzero(seen.any(axis=(1, 2)))
        assert frames[0] > 0
        assert len(frames) == frames[-1] - frames[0] + 1 == 2 * glimpse.STRIDE
        assert len(np.arange(0, glimpse.FRAMES, glimpse.STRIDE)) == 16
        assert sum(frame % glimpse.STRIDE == 0 for frame in frames) == 2
        assert 5 < seen[frames].sum(axis=(1, 2)).max() < 40  # of 3136 pixels


def test_in_train_discs_are_larger_and_longer_too() -> None:
    lengths = [departing(video).any(axis=(1, 2)).sum() for video in TRAIN]
    areas = [departing(video).sum(axis=(1, 2)).max() for video in TRAIN]
    assert max(lengths) > 2 * min(lengths)
    assert max(areas) > 3 * min(areas)


def test_the_colour_is_the_class_and_the_disc_moves() -> None:
    for video in VAL:
        frames, seen = glimpse.pixels(video).astype(float), departing(video)
        first, *_, last = np.flatnonzero(seen.any(axis=(1, 2)))
        weight = np.abs(frames[first] - np.median(frames, axis=0)).max(axis=-1)
        row, column = np.unravel_index(weight.argmax(), weight.shape)
        red, green, blue = frames[first, row, column]
        hue = np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)) % 360
        assert abs((hue - 45 * video.label + 180) % 360 - 180) < 20, video
        centres = [np.argwhere(seen[frame]).mean(axis=0) for frame in (first, last)]
        assert np.linalg.norm(centres[1] - centres[0]) > 1


def test_the_package_names_every_file_and_they_come_out_so(tmp_path: Path) -> None:
    known = [line.split("  ") for line in SET.digests.read_text().splitlines()]
    assert [path for _, path in known] == [one.path for split in ("val", "train") for one in SET.videos(split)]
    code = "import sys, pathlib; from jobs.data import glimpse; glimpse.SET.sizes.update(val=8); "
    code += "glimpse.SET.generate(pathlib.Path(sys.argv[1]), 'val', workers=2)"
    environment = os.environ | {"PYTHONPATH": str(Path(glimpse.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=True)
    for digest, path in known[:8]:
        assert hashlib.sha256((tmp_path / path).read_bytes()).hexdigest() == digest
    assert (tmp_path / "val.edition").read_text() == f"{SET.version}\n"


def test_the_same_seed_gives_the_same_pixels() -> None:
    assert np.array_equal(glimpse.pixels(VAL[0]), glimpse.pixels(VAL[0]))
    assert not np.array_equal(glimpse.pixels(VAL[0]), glimpse.pixels(VAL[8]))


def test_wrong_usage_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert SET.main([str(tmp_path), "--workers", "0"]) == 2
    assert capsys.readouterr().err == "error: workers must be at least 1, not 0\n"
