"""The data sets that need no file: scikit-learn's, read through it once and then from the cache (its import costs a
second), and those made here."""

from importlib.metadata import version

import numpy as np

from .ball import AHEAD, SNAPSHOTS, read_ball
from .cache import cached
from .raw import Raw
from .scenes import CLASSES, SIZE, read_scenes

# Shape of an example, and the number of classes (of targets for diabetes and ball).
SHAPES = {
    "digits": ((8, 8, 1), 10),
    "digit_scenes": ((SIZE, SIZE, 1), len(CLASSES)),
    "iris": ((4,), 3),
    "wine": ((13,), 3),
    "breast_cancer": ((30,), 2),
    "diabetes": ((10,), 1),
    "ball": ((SNAPSHOTS, 2), 2 + 2 * len(AHEAD)),
}


def read_bundled(name: str) -> Raw:
    """digits: images [8, 8, 1] from 0 to 16; digit_scenes: larger ones with a class for each pixel; the others tables;
    diabetes and ball have numbers to predict, the rest classes."""
    if name == "digit_scenes":
        return read_scenes()
    if name == "ball":
        return read_ball()
    return cached(name, ["scikit-learn", version("scikit-learn")], lambda: _read(name))


def _read(name: str) -> Raw:
    from sklearn import datasets

    if name == "diabetes":  # in its own units: scikit-learn's scaled form uses the mean of test examples as well
        bunch = datasets.load_diabetes(scaled=False)
        x, features = bunch.data.astype(np.float32), tuple(bunch.feature_names)
        return Raw(x, bunch.target[:, None], {"train": len(x)}, features=features, targets=("disease_progression",))
    bunch = getattr(datasets, f"load_{name}")()
    classes = tuple(str(name) for name in bunch.target_names)
    if name == "digits":
        return Raw(
            bunch.images[..., None].astype(np.float32),
            bunch.target,
            {"train": len(bunch.target)},
            classes,
            pixel_max=16,
        )
    features = tuple(str(name) for name in bunch.feature_names)
    return Raw(bunch.data.astype(np.float32), bunch.target, {"train": len(bunch.target)}, classes, features)
