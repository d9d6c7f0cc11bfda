"""Scenes of handwritten digits, for the segmentation of pixels: scikit-learn's digits strewn over a larger canvas."""

from importlib.metadata import version

import numpy as np

from .cache import cached
from .raw import Raw

SIZE = 32  # pixels, of a scene's height and width
DIGITS = 12  # are offered to a scene, and each is left out whose place is taken
INK = 4  # of 16: a pixel at least as bright belongs to its digit
CLASSES = ("background", *"0123456789")
EDITION = 1  # of the scenes below: part of the cache's key

# Scenes of each split, and the digits they are made of. The digits lie form by form as their writers filled them in,
# each form the same text of about 130 digits, so that cuts between two forms keep the writers of the splits apart.
SPLITS = {"train": (2000, 0, 1157), "validation": (250, 1157, 1415), "test": (500, 1415, 1797)}


def read_scenes() -> Raw:
    """2,000 training, 250 validation and 500 test scenes, grey [32, 32, 1]; a class index for each pixel [32, 32]."""
    return cached("digit_scenes", [EDITION, version("scikit-learn")], make_scenes)


def make_scenes() -> Raw:
    """The same scenes each time. A digit has its own 8 x 8 pixels or twice that; digits touch but do not overlap."""
    from sklearn.datasets import load_digits

    bunch, random = load_digits(), np.random.default_rng(0)
    count = sum(scenes for scenes, *_ in SPLITS.values())
    x, y = np.zeros((count, SIZE, SIZE), np.uint8), np.zeros((count, SIZE, SIZE), np.uint8)
    ranges = [(first, end) for scenes, first, end in SPLITS.values() for _ in range(scenes)]
    for image, mask, (first, end) in zip(x, y, ranges, strict=True):
        digits, scales = random.integers(first, end, DIGITS), random.integers(1, 3, DIGITS)
        for n, scale, where in zip(digits, scales, random.random((DIGITS, 2)), strict=True):
            digit = bunch.images[n].astype(np.uint8).repeat(scale, 0).repeat(scale, 1)
            top, left = (where * (SIZE - len(digit) + 1)).astype(int)
            place, ink = np.s_[top : top + len(digit), left : left + len(digit)], digit >= INK
            if not image[place][ink].any():
                image[place] = np.maximum(image[place], digit)
                mask[place][ink] = 1 + bunch.target[n]
    sizes = {split: scenes for split, (scenes, *_) in SPLITS.items()}
    return Raw(x[..., None], y, sizes, CLASSES, pixel_max=16)
