from __future__ import annotations

import collections
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from jobs.data import demo, encoding, generated


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A val split of 18 videos, made in this process; returns the paths made, in order."""
    made: list[str] = []

    def share_out(module: str, root: Path, missing: list[generated.Video], workers: int) -> None:
        made.extend(video.path for video in missing)
        generated.make(module, root, missing, os.getppid())

    monkeypatch.setitem(demo.SET.sizes, "val", 18)
    monkeypatch.setattr(generated, "share_out", share_out)
    return made


@pytest.mark.parametrize("split", ["train", "val"])
def test_classes_are_balanced(split: str) -> None:
    counts = collections.Counter(video.label for video in demo.SET.videos(split))
    assert len(counts) == len(demo.CLASSES) == 16
    assert set(counts.values()) == {demo.SET.sizes[split] // 16}
    for video in demo.SET.videos(split):
        assert video.path.split("/")[1] == demo.CLASSES[video.label]


def test_no_two_videos_share_a_seed_or_a_path() -> None:
    every = demo.SET.videos("train") + demo.SET.videos("val")
    assert len({video.seed for video in every}) == len({video.path for video in every}) == len(every)


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others() -> None:
    first = demo.render("left", "squares", (0, 5))
    assert first.dtype == np.uint8
    assert first.shape[1:] == (demo.HEIGHT, demo.WIDTH, 3)
    assert np.array_equal(first, demo.render("left", "squares", (0, 5)))
    assert not np.array_equal(first[0], demo.render("left", "squares", (0, 6))[0])


def test_lengths_lie_where_sixteen_clips_differ() -> None:
    lengths = {len(demo.render("up", "squares", (1, k))) for k in range(12)}
    assert len(lengths) > 3
    low, high = demo.FRAMES["val"]
    assert low <= min(lengths) <= max(lengths) <= high


@pytest.mark.parametrize("look", demo.LOOKS)
def test_one_frame_does_not_tell_the_motion(look: str) -> None:
    """Every motion starts from the same frame of the same seed."""
    firsts = [demo.render(motion, look, (0, 3))[0] for motion in demo.MOTIONS]
    assert all(np.array_equal(first, firsts[0]) for first in firsts)


@pytest.mark.parametrize(("motion", "opposite"), list(zip(demo.MOTIONS[::2], demo.MOTIONS[1::2], strict=True)))
def test_a_motion_played_backwards_is_its_opposite(motion: str, opposite: str) -> None:
    forward = demo.render(motion, "checkered", (0, 7))
    assert np.array_equal(demo.render(opposite, "checkered", (0, 7), backwards=True), forward)
    assert not np.array_equal(demo.render(opposite, "checkered", (0, 7)), forward)


def moved(motion: str, shift: tuple[int, int]) -> tuple[float, float]:
    """How well frame 4 is frame 0 shifted by (down, right), and shifted the other way; smaller is better."""
    frames = demo.render(motion, "squares", (0, 11)).astype(float)
    there = np.roll(frames[0], shift, axis=(0, 1))
    back = np.roll(frames[0], (-shift[0], -shift[1]), axis=(0, 1))
    return float(abs(frames[4] - there).mean()), float(abs(frames[4] - back).mean())


@pytest.mark.parametrize(("motion", "shift"), [("left", (0, -4)), ("right", (0, 4)), ("up", (-4, 0)), ("down", (4, 0))])
def test_translations_go_where_they_are_called(motion: str, shift: tuple[int, int]) -> None:
    there, back = moved(motion, shift)
    assert there < back


def test_turns_and_zooms_go_where_they_are_called() -> None:
    """A quarter turn of the angle and a period of the zoom, in the object's own frame."""

    def tone(look: str, **state: float) -> np.ndarray:
        numbers, _, values = demo._object(look, 20.0, **({"x": 40.0, "y": 30.0, "zoom": 0.0, "angle": 0.0} | state))
        image = np.full(demo.HEIGHT * demo.WIDTH, np.nan)
        image[numbers] = values
        return image.reshape(demo.HEIGHT, demo.WIDTH)[12:49, 22:59]

    still = tone("checkered")
    # Rows grow downwards, so a clockwise quarter turn takes the right to the bottom: rot90 by -1.
    assert np.allclose(tone("checkered", angle=np.pi / 2), np.rot90(still, -1), equal_nan=True)
    assert np.allclose(tone("checkered", zoom=1.0), still, equal_nan=True)
    # An approaching ring lies further out: half a period of zoom doubles every distance from the centre.
    grown = tone("checkered", zoom=0.5)
    diagonal = np.arange(4, 7)
    near, far = still[18 + diagonal, 18 + diagonal], grown[18 + 2 * diagonal, 18 + 2 * diagonal]
    assert abs(near - 0.5).min() > 0.25
    assert np.allclose(near, far, atol=0.25)


def test_every_motion_moves_under_every_crop() -> None:
    """In any 64 frames and any 72 of the 96 columns, much of the picture changes from step to step."""
    for label, name in enumerate(demo.CLASSES):
        frames = demo.render(*name.split("-"), (0, label)).astype(float).mean(-1)[::4]
        change = abs(np.diff(frames, axis=0)) > 4 * demo._NOISE
        for left in (0, 12, 24):
            assert change[:, :, left : left + 72].mean(axis=(1, 2)).min() > 0.03, (name, left)


def test_generated_files_decode_to_what_was_rendered(small: list[str], tmp_path: Path) -> None:
    labels = demo.SET.generate(tmp_path, "val")
    lines = labels.read_text().splitlines()
    assert len(lines) == 18
    for line, video in zip(lines[:2], demo.SET.videos("val"), strict=False):
        path, label = line.rsplit(" ", 1)
        assert (path, int(label)) == (video.path, video.label)
        assert path.split("/")[:2] == ["val", demo.CLASSES[video.label]]
        frames = demo.pixels(video)
        with av.open(str(tmp_path / path)) as container:
            assert container.streams.video[0].average_rate == demo.FPS
            decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(decoded) == len(frames)
        assert abs(decoded[-1].astype(float) - frames[-1]).mean() < 15


def test_a_generation_that_was_cut_off_goes_on_without_redoing_anything(small: list[str], tmp_path: Path) -> None:
    labels = demo.SET.generate(tmp_path, "val")
    everything = list(small)
    assert everything == [video.path for video in demo.SET.videos("val")]
    kept = {path: (tmp_path / path).stat() for path in everything[2:]}
    for path in everything[:2]:
        (tmp_path / path).unlink()
    labels.unlink()

    small.clear()
    assert demo.SET.generate(tmp_path, "val") == labels
    assert small == everything[:2]
    assert {path: (tmp_path / path).stat() for path in kept} == kept
    assert not list(tmp_path.rglob(".*"))

    small.clear()
    demo.SET.generate(tmp_path, "val")
    assert small == []


def test_the_package_names_every_file_and_they_come_out_so_wherever_they_are_made(tmp_path: Path) -> None:
    """In folders and environments of different lengths, by one process and by two."""
    known = [line.split("  ") for line in demo.SET.digests.read_text().splitlines()]
    assert [path for _, path in known] == [one.path for split in ("val", "train") for one in demo.SET.videos(split)]
    code = "import sys; from jobs.data import demo; demo.SET.sizes.update(val=6); "
    code += "demo.SET.generate(__import__('pathlib').Path(sys.argv[1]), 'val', workers=int(sys.argv[2]))"
    for number, folder in enumerate(("a", "a folder with a much longer name/" * 3)):
        environment = os.environ | {"FILLER": "x" * 7001 * number, "PYTHONPATH": str(Path(demo.__file__).parents[2])}
        root = tmp_path / folder
        subprocess.run([sys.executable, "-c", code, str(root), str(number + 1)], env=environment, check=True)
        for digest, path in known[:6]:
            assert hashlib.sha256((root / path).read_bytes()).hexdigest() == digest
        assert (root / "val.edition").read_text() == f"{demo.SET.version}\n"


def test_a_set_that_comes_out_otherwise_is_used_and_said(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "X264", "cpu-independent=1:crf=30")
    said: list[str] = []
    assert demo.SET.generate(tmp_path, "val", report=said.append).exists()
    edition = (tmp_path / "val.edition").read_text()
    assert re.fullmatch(r"demo-4 with 18 of 18 videos other than the package's \(sha256 [0-9a-f]{12}\)\n", edition)
    assert said[-1] == f"the val videos are {edition.strip()}; values measured on them are marked"


def test_a_video_that_was_replaced_is_said_and_a_corrected_list_kept(small: list[str], tmp_path: Path) -> None:
    labels = demo.SET.generate(tmp_path, "val")
    lines = labels.read_text().splitlines(keepends=True)
    labels.write_text("".join(lines[1:]))
    first, second = (tmp_path / path for path in small[:2])
    first.write_bytes(second.read_bytes())
    said: list[str] = []
    demo.SET.generate(tmp_path, "val", report=said.append)
    assert (tmp_path / "val.edition").read_text().startswith("demo-4 with 1 of 18 videos other than the package's")
    assert len(said) == 1
    assert labels.read_text() == "".join(lines[1:])
    first.unlink()
    demo.SET.generate(tmp_path, "val")
    assert (tmp_path / "val.edition").read_text() == "demo-4\n"


def test_a_half_written_video_never_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = demo.render("left", "squares", (0, 0))[:8]

    def broken(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", broken)
        with pytest.raises(OSError, match="disk full"):
            encoding.encode(frames, tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_worker_processes_make_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(demo.SET.sizes, "val", 3)
    labels = demo.SET.generate(tmp_path, "val", workers=2)
    assert all((tmp_path / line.split()[0]).stat().st_size > 4000 for line in labels.read_text().splitlines())


def test_a_folder_of_another_version_is_refused(small: list[str], tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text("demo-0\n")
    with pytest.raises(ValueError, match="demo-0"):
        demo.SET.generate(tmp_path, "val")
    assert small == []


def test_wrong_usage_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="train, val"):
        demo.SET.generate(tmp_path, "test")
    assert demo.SET.main([str(tmp_path), "--workers", "0"]) == 2
    assert capsys.readouterr().err == "error: workers must be at least 1, not 0\n"


def test_the_module_imports_neither_torch_nor_a_codec() -> None:
    check = "import sys, jobs.data.demo; print([m for m in ('torch', 'av', 'pandas') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
