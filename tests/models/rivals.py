"""A second clip for `rivals.npz`, which holds in float64 what the rival methods' published code gives with the weights
of tests/models/golden.py. The draws below must stay as they are: they define the input.

Its keys are `vit_small|<reduction>|<clip>`, logits (2, 400); with `|source` the place of each original token in the
last sequence, `|size` what the tokens of that sequence weigh, `|counts` how many each block finds and how many are
left, `|kept` which tokens enter the model. <clip> is `drift` (golden.clips) or `static` (below).
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

EXPECTED = Path(__file__).with_suffix(".npz")


def static(batch: int, seed: int = 11) -> Tensor:
    """Clips (batch, 3, 16, 224, 224): a still ground of 16 × 16 tiles, before it a square that moves, and a little
    noise. Clip b's square is 64 + 32 b pixels wide and moves (2, 3 + b) pixels a frame."""
    stream = np.random.RandomState(seed)
    clips = torch.empty(batch, 3, 16, 224, 224)
    for b in range(batch):
        tiles = stream.standard_normal((3, 14, 14)).astype(np.float32)
        side = 64 + 32 * b
        square = stream.standard_normal((3, side, side)).astype(np.float32)
        for t in range(16):
            frame = np.kron(tiles, np.ones((1, 16, 16), np.float32))
            row, column = 5 + 2 * t, 3 + (3 + b) * t
            frame[:, row : row + side, column : column + side] = square
            noise = stream.standard_normal(frame.shape).astype(np.float32)
            clips[b, :, t] = torch.from_numpy(frame + 0.01 * noise)
    return clips
