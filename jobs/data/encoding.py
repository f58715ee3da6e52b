"""Frames as H.264 in MP4, the same bytes from the same build of x264 in any folder, process and environment."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from results.files import replacing

X264 = "cpu-independent=1"
"""x264's parameter without which its decisions depend on the processor, and on its memory addresses."""


def encode(frames: np.ndarray, file: Path, rate: int = 25, crf: int = 23) -> None:
    """Write uint8 frames (F, H, W, 3), H and W even, `rate` a second, beside `file` first and renamed when whole. crf:
    x264's constant rate factor, smaller is better."""
    import av

    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as beside, av.open(str(beside), "w", format="mp4") as container:
        options = {"crf": str(crf), "preset": "veryfast", "threads": "1", "x264-params": X264}
        stream = container.add_stream("libx264", rate=Fraction(rate), options=options)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_yuv420(frame), format="yuv420p")))
        container.mux(stream.encode())


def _yuv420(frame: np.ndarray) -> np.ndarray:
    """uint8 RGB (H, W, 3) → (3 H / 2, W): Y, then U and V at half the size (BT.601, studio range), in whole numbers,
    as FFmpeg's conversion depends on the processor."""
    height, width, _ = frame.shape
    red, green, blue = np.moveaxis(frame.astype(np.int32), -1, 0)
    y = (66 * red + 129 * green + 25 * blue + 128 >> 8) + 16
    blocks = frame.reshape(height // 2, 2, width // 2, 2, 3).sum(axis=(1, 3), dtype=np.int32)
    red, green, blue = np.moveaxis(blocks, -1, 0)
    u = (-38 * red - 74 * green + 112 * blue + 512 >> 10) + 128
    v = (112 * red - 94 * green - 18 * blue + 512 >> 10) + 128
    return np.concatenate([plane.ravel() for plane in (y, u, v)]).astype(np.uint8).reshape(-1, width)
