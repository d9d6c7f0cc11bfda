"""Part of a source's examples: those of some classes, or few to train on."""

import numpy as np

from ...errors import UserError, nearest
from .config import Data
from .examples import take
from .raw import Raw
from .split import Splits, draw


def check_classes(data: Data, classes: tuple[str, ...]) -> None:
    """UserError for one of `data.classes` that the source has not."""
    if unknown := [name for name in data.classes if name not in classes]:
        raise UserError(
            f"{data.source} has no class '{unknown[0]}'.{nearest(unknown[0], classes)} There are {', '.join(classes)}."
        )


def of_classes(data: Data, raw: Raw, y: np.ndarray, classes: tuple[str, ...]) -> tuple[Raw, np.ndarray]:
    """The examples of `data.classes`, and their class indices in that order. UserError for an unknown class."""
    if not classes or y.ndim != 1:
        raise UserError(f"--data.classes is for examples with one class each, and {data.source} has none.")
    check_classes(data, classes)
    new = np.full(len(classes), -1, np.int32)
    new[[classes.index(name) for name in data.classes]] = np.arange(len(data.classes))
    y = new[y]
    parts = np.split(y >= 0, np.cumsum([*raw.sizes.values()])[:-1])
    sizes = {name: int(part.sum()) for name, part in zip(raw.sizes, parts, strict=True)}
    return raw._replace(x=take(raw.x, y >= 0), sizes=sizes), y[y >= 0]


def few(data: Data, splits: Splits, labels: np.ndarray | None, n: int) -> tuple[np.ndarray, Splits]:
    """Which of n rows stay, a mask, where `data.examples` are kept to train on; and the splits of these rows.

    Validation and test stay as they are; of each class (`labels` [n]) the training keeps its proportion, drawn by
    `data.split_seed`. UserError where there are fewer examples, or too few for one of each class.
    """
    train = splits["train"]
    if data.examples > len(train):
        raise UserError(f"--data.examples {data.examples}: {data.source} has {len(train):,} examples to train on.")
    classes = 1 if labels is None else len(np.unique(labels[train]))
    if data.examples < classes:
        raise UserError(f"--data.examples {data.examples} is less than one for each of {classes} classes.")
    stay = np.ones(n, bool)
    if data.examples < len(train):
        random = np.random.default_rng([data.split_seed, 2])
        of = None if labels is None else labels[train]
        stay[train[draw(len(train) - data.examples, of, len(train), random)]] = False
    place = np.cumsum(stay) - 1
    return stay, {name: place[rows[stay[rows]]].astype(np.int32) for name, rows in splits.items()}
