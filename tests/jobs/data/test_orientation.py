"""Frames are turned and mirrored as an MP4's track says."""

import struct
from pathlib import Path

import numpy as np
import pytest

from jobs.data.reader import read_video
from tests.bad_videos import write_video
from tests.jobs.data.test_reader import Every

MATRICES = {
    "as it is": (1, 0, 0, 1),
    "turned by 90°": (0, 1, -1, 0),
    "turned by 180°": (-1, 0, 0, -1),
    "turned by 270°": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "mirrored and turned by 90°": (0, 1, 1, 0),
    "mirrored and turned by 270°": (0, -1, -1, 0),
}


@pytest.mark.parametrize("name", MATRICES)
def test_frames_are_turned_and_mirrored_as_the_track_says(name: str, tmp_path: Path) -> None:
    """Each pixel goes where the matrix sends it: x' = a·x + c·y, y' = b·x + d·y, about the middle of the frame."""
    corners = np.kron(np.array([[40, 90], [150, 220]], np.uint8), np.ones((32, 48), np.uint8))
    file = write_video(tmp_path / "video.mp4", np.repeat(np.stack([corners] * 3, -1)[None], 30, 0))
    content = bytearray(file.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    a, b, c, d = MATRICES[name]
    content[start : start + 36] = struct.pack(">9i", *(v << 16 for v in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    file.write_bytes(content)
    expected: dict[tuple[int, int], int] = {}
    for x, y, tone in ((-1, -1, 40), (1, -1, 90), (-1, 1, 150), (1, 1, 220)):
        expected[a * x + c * y, b * x + d * y] = tone
    frame = read_video(file, Every(29)).frames[0]
    height, width = frame.shape[:2]
    assert (height > width) == (a == 0)
    for (x, y), tone in expected.items():
        part = frame[: height // 2] if y < 0 else frame[height // 2 :]
        part = part[:, : width // 2] if x < 0 else part[:, width // 2 :]
        assert abs(part[8:-8, 8:-8].mean() - tone) < 6, (x, y)
