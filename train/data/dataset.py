"""From a configuration to arrays: read the source, encode the targets, split, measure the training examples."""

import hashlib
from typing import NamedTuple

import numpy as np

from ...errors import UserError
from .bundled import SHAPES, read_bundled
from .config import Data
from .idx import find_idx, peek_idx, read_idx
from .info import Info, Kind
from .npz import peek_npz, read_npz
from .raw import Raw, check_finite
from .split import Splits, check_splits, make_splits
from .table import peek_csv, read_csv
from .tfds import peek_tfds, read_tfds


class Dataset(NamedTuple):
    """All examples of a source in the computer's memory, not standardised, with the rows of each split."""

    x: np.ndarray  # [N, D] float32, or [N, H, W, C]: uint8 for images stored so, else float32
    y: np.ndarray  # [N] int32 class indices, or [N, K] float32 targets in their own units
    splits: Splits  # "train", "validation" (may be absent), "test": sorted int32 rows, pairwise disjoint
    info: Info


def load(data: Data, kind: Kind, splits: Splits | None = None) -> Dataset:
    """The data set that `data` describes, for a task of the given kind.

    `splits` are those of an earlier run, used instead of drawing them again. UserError where anything does not fit:
    a missing file, a bad value, targets that are not what the task needs, an empty split.
    """
    raw = _read(data, kind)
    classification = kind == "classification"
    y, classes = _class_indices(raw, data.source) if classification else (_numbers(raw, data.source), ())
    if splits is None:
        splits = make_splits(raw.sizes, y if classification else None, data.test, data.validation, data.split_seed)
    else:
        splits = check_splits(splits, len(y))
    train = splits["train"] if data.standardize else None
    x_mean, x_std = moments(raw.x, train)
    y_mean, y_std = ((), ()) if classification else moments(y, train)
    info = Info(
        source=data.source,
        kind=kind,
        shape=raw.x.shape[1:],
        classes=classes,
        features=raw.features,
        targets=() if classification else raw.targets,
        x_mean=x_mean,
        x_std=x_std,
        y_mean=y_mean,
        y_std=y_std,
        pixel_max=raw.pixel_max,
        fingerprint=_fingerprint(raw.x, y),
        counts={name: len(rows) for name, rows in splits.items()},
    )
    return Dataset(raw.x, y, splits, info)


def peek(data: Data, kind: Kind = "classification") -> tuple[tuple[int, ...], int] | None:
    """The shape of one example and the number of classes or targets, without reading the examples; None if unknown."""
    if data.source in SHAPES:
        return SHAPES[data.source]
    if data.source == "mnist":
        return (28, 28, 1), 10
    if data.source == "idx":
        return peek_idx(data.dir)
    if data.source.startswith("tfds:"):
        return peek_tfds(data.source.removeprefix("tfds:"), data.dir, kind)
    return peek_csv(data.path, data.target, kind) if data.file == ".csv" else peek_npz(data.path, kind)


def _read(data: Data, kind: Kind) -> Raw:
    if data.source in SHAPES:
        return read_bundled(data.source)
    if data.source == "idx" or (data.source == "mnist" and find_idx(data.dir)):
        return read_idx(data.dir)
    if data.source == "mnist" or data.source.startswith("tfds:"):
        return read_tfds(data.source.removeprefix("tfds:"), data.dir)
    return read_csv(data.path, data.target) if data.file == ".csv" else read_npz(data.path, kind)


def _class_indices(raw: Raw, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """int32 class indices [N] and the names of the classes: the source's own, or the values in its training rows."""
    y = raw.y
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise UserError(
            f"{source} has targets of the shape {list(y.shape)}; classification needs one label for each example "
            "(of one-hot rows, the argmax)."
        )
    if y.dtype.kind == "f":
        raise UserError(
            f"{source} has real numbers as targets ({y[0]:g}, ...); classification needs class labels, integers or "
            "names. To predict a quantity, use a regression task."
        )
    if raw.classes:
        if (bad := np.flatnonzero((y < 0) | (y >= len(raw.classes)))).size:
            raise UserError(
                f"{source} has the label {y[bad[0]]} in row {bad[0]}, outside its {len(raw.classes)} classes."
            )
        return y.astype(np.int32), raw.classes
    seen, counts = np.unique(y[: raw.sizes["train"]], return_counts=True)
    if len(seen) < 2:
        raise UserError(f"{source} has training examples of {len(seen)} class; at least 2 are needed.")
    if "test" not in raw.sizes and counts.min() < 2:
        raise UserError(
            f"{source} has a single example of the class '{seen[counts.argmin()]}', and at least one for training and "
            "one for the test are needed. If the target is a quantity, use a regression task."
        )
    index = np.searchsorted(seen, y).clip(max=len(seen) - 1)
    if (bad := np.flatnonzero(seen[index] != y)).size:
        raise UserError(
            f"{source} has the label {y[bad[0]]} in row {bad[0]}, outside the classes of its training examples."
        )
    return index.astype(np.int32), tuple(str(name) for name in seen)


def _numbers(raw: Raw, source: str) -> np.ndarray:
    """float32 targets [N, K]."""
    if not raw.targets:
        raise UserError(f"{source} has class labels as targets, not quantities: use a classification task.")
    if raw.y.dtype.kind not in "buif":
        raise UserError(
            f"The target '{raw.targets[0]}' of {source} holds text; regression needs numbers in every row. "
            f"To predict classes, use a classification task. The first value that is no number: {_first_text(raw.y)}."
        )
    with np.errstate(over="ignore"):
        y = raw.y.astype(np.float32).reshape(len(raw.y), -1)
    check_finite(y, f"The target of {source}")
    return y


def _first_text(y: np.ndarray) -> str:
    for row, value in enumerate(y.tolist()):
        try:
            float(value)
        except ValueError:
            return f"'{value}' in row {row} (counted from 0)"
    raise AssertionError("text that is all numbers is read as numbers")


def moments(x: np.ndarray, rows: np.ndarray | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation over `rows` of each index of x's last axis; 0 and 1 where `rows` is None.

    One pass over chunks that fit the processor's cache, merged in float64 as in Chan, Golub and LeVeque 1983 (equation
    2.1): no float copy of all the images is made. The standard deviation of a constant is given as 1.
    """
    channels = x.shape[-1]
    if rows is None:
        return (0.0,) * channels, (1.0,) * channels
    flat = x.reshape(len(x), -1)
    work: type = np.float32 if x.dtype == np.uint8 else np.float64  # sums of a chunk of bytes are exact in float32
    shift: np.ndarray = flat[rows[0], :channels].astype(work)  # makes the deviation of a constant exactly 0
    tiled = np.resize(shift, flat.shape[1])
    n, mean, squares = 0, np.zeros(channels), np.zeros(channels)
    step = max(1, 2**17 // flat.shape[1])
    for start in range(0, len(rows), step):
        d = flat[rows[start : start + step]].astype(work)
        d -= tiled
        m = d.size // channels
        chunk_mean = _fold(d, channels) / m
        d -= np.resize(chunk_mean, d.shape[1]).astype(work)
        d *= d
        delta = chunk_mean - mean
        squares += _fold(d, channels) + delta**2 * (n * m / (n + m))
        mean += delta * (m / (n + m))
        n += m
    std = np.sqrt(squares / n)
    return tuple((shift + mean).tolist()), tuple(np.where(std > 0, std, 1.0).tolist())


def _fold(d: np.ndarray, channels: int) -> np.ndarray:
    """Sums [channels] of the flattened examples [n, H * W * channels]; down the rows first, which is quick."""
    return d.sum(axis=0).astype(np.float64).reshape(-1, channels).sum(axis=0)


def _fingerprint(x: np.ndarray, y: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in (x, y):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
