"""Part of a source's examples: those of some classes, or few to train on."""

import numpy as np

from ...errors import UserError, nearest
from .config import Data
from .raw import Raw
from .split import draw


def subset(data: Data, raw: Raw, y: np.ndarray, classes: tuple[str, ...]) -> tuple[Raw, np.ndarray, tuple[str, ...]]:
    """The examples that `data.classes` and `data.examples` leave, their targets, and the classes that are left.

    UserError for a class that there is not, and for more examples than there are.
    """
    if data.classes:
        raw, y = _of_classes(data, raw, y, classes)
        classes = data.classes
    if data.examples:
        of = raw.sizes["train"]
        if data.examples > of:
            raise UserError(f"--data.examples {data.examples}: {data.source} has {of:,} training examples.")
        labels = y[:of] if classes and y.ndim == 1 else None
        keep = np.ones(len(y), bool)
        if data.examples < of:
            keep[:of] = ~draw(of - data.examples, labels, of, np.random.default_rng([data.split_seed, 2]))
        raw, y = _rows(raw, keep), y[keep]
    return raw, y, classes


def _of_classes(data: Data, raw: Raw, y: np.ndarray, classes: tuple[str, ...]) -> tuple[Raw, np.ndarray]:
    if not classes or y.ndim != 1:
        raise UserError(f"--data.classes is for examples with one class each, and {data.source} has none.")
    if unknown := [name for name in data.classes if name not in classes]:
        raise UserError(
            f"{data.source} has no class '{unknown[0]}'.{nearest(unknown[0], classes)} There are {', '.join(classes)}."
        )
    new = np.full(len(classes), -1, np.int32)
    new[[classes.index(name) for name in data.classes]] = np.arange(len(data.classes))
    y = new[y]
    return _rows(raw, y >= 0), y[y >= 0]


def _rows(raw: Raw, keep: np.ndarray) -> Raw:
    """The examples where `keep` [N] is true; "train" stands first."""
    parts = np.split(keep, np.cumsum([*raw.sizes.values()])[:-1])
    sizes = {name: int(part.sum()) for name, part in zip(raw.sizes, parts, strict=True)}
    return raw._replace(x=raw.x[keep], sizes=sizes)
