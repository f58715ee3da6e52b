"""RandAugment and random erasing of clips: timm's, made to do the same to every frame.

Both take their chances from Python's and NumPy's global generators, which are seeded here and left as they are
afterwards. So this belongs in a separate process, as do samples.py and the reader: see pool.py.
"""

import importlib.util
import random
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from jobs.spec.recipe import RANDAUGMENT


def _without_torch() -> ModuleType:
    """The module timm.data.auto_augment, loaded as a separate module.

    It needs Pillow and NumPy only; importing the package timm would bring torch, which takes each of a node's dozens of
    decoders seven seconds and 400 MiB.
    """
    timm = importlib.util.find_spec("timm")
    assert timm
    assert timm.submodule_search_locations
    file = Path(timm.submodule_search_locations[0]) / "data" / "auto_augment.py"
    spec = importlib.util.spec_from_file_location("timm_auto_augment", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


auto_augment = _without_torch()


@lru_cache
def rand_augment(description: str, side: int) -> Any:
    """timm's RandAugment of frames of `side`² pixels.

    Translations reach 0.45 × side, and frames are turned and sheared bicubically (VideoMAE). ValueError on a
    description that is not timm's.
    """
    if not RANDAUGMENT.fullmatch(description):
        raise ValueError(
            f"train.randaugment: {description!r} is not a RandAugment; right is rand-m9-mstd0.5-inc1, "
            "of the sections m, n, mstd, mmax, p, inc and t, or nothing for none"
        )
    settings = {"translate_const": int(0.45 * side), "interpolation": Image.Resampling.BICUBIC}
    transform = auto_augment.rand_augment_transform(description, settings)
    for operation in transform.ops:
        if operation.aug_fn is auto_augment.posterize:
            operation.aug_fn = _posterize
    return transform


def _posterize(image: Image.Image, bits_to_keep: int, **settings: Any) -> Image.Image:
    """timm keeps no bit at magnitude 10, of which Pillow makes a black image or, in later versions, an error."""
    return auto_augment.posterize(image, max(bits_to_keep, 1), **settings)


def augmented(clip: np.ndarray, description: str, seed: int) -> np.ndarray:
    """RandAugment of a clip (T, side, side, 3) uint8: the same operations at the same magnitude on every frame.

    Frames come here cropped, resized and mirrored, as images do in timm's pipeline; VideoMAE's scripts augment the
    larger frames before the crop.
    """
    transform = rand_augment(description, clip.shape[1])
    frames = np.empty_like(clip)
    for number, frame in enumerate(clip):
        random.seed(seed)
        np.random.seed(seed)
        frames[number] = transform(Image.fromarray(frame))
    return frames


def erased(clip: np.ndarray, probability: float, seed: int) -> np.ndarray:
    """Random erasing of a clip (T, side, side, 3) uint8: with `probability`, the same box of every frame becomes noise.

    The noise is normal, of ImageNet's mean and deviation, and new for every pixel, channel and frame (VideoMAE).
    """
    import torch
    from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    from timm.data.random_erasing import RandomErasing

    random.seed(seed)
    torch.manual_seed(seed)
    frames, height, width, channels = clip.shape
    # timm erases images that have been normalised; with time folded into its channels a clip is one image.
    canvas = torch.full((frames * channels, height, width), torch.nan)
    RandomErasing(probability, mode="pixel", device="cpu")(canvas)
    box = ~torch.isnan(canvas[0])
    if not box.any():
        return clip
    rows, columns = (slice(int(where[0]), int(where[-1]) + 1) for where in (box.any(1).nonzero(), box.any(0).nonzero()))
    noise = canvas[:, rows, columns].unflatten(0, (frames, channels)).permute(0, 2, 3, 1).numpy()
    pixels = 255 * (np.array(IMAGENET_DEFAULT_MEAN) + np.array(IMAGENET_DEFAULT_STD) * noise)
    changed = clip.copy()
    changed[:, rows, columns] = pixels.round().clip(0, 255)
    return changed
