"""What a decoder made of a file in one pass."""

from dataclasses import dataclass

import numpy as np

from jobs.data.requests import Request


@dataclass
class Decoded:
    """What one pass over a file gave."""

    listed: int
    """Frames that the file lists."""
    shown: int
    """Frames that came; where only parts were decoded, those that the packets promise."""
    frames: dict[int, np.ndarray]
    """Those wanted, by number, resized: (H, W, 3) uint8 RGB."""


def resized(frame: np.ndarray, request: Request, flip: int | None) -> np.ndarray:
    """A decoded frame (H, W, 3), reversed along the axis `flip`, in the size that `request` asks for: bilinear, as the
    models' own protocols resize."""
    import cv2  # only where it is used: a process that only asks decoders for videos loads no library of images

    frame = frame if flip is None else np.ascontiguousarray(np.flip(frame, flip))
    height, width = frame.shape[:2]
    size = request.size(height, width)
    if size == (height, width):
        return frame.copy()  # what it is a view of goes with the decoder
    return cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR)
