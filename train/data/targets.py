"""What is to be predicted: class indices, numbers, or the class of each pixel."""

import contextlib

import numpy as np

from ...errors import UserError
from .info import Kind
from .masks import class_masks
from .raw import Raw, check_finite


def targets(raw: Raw, kind: Kind, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The targets of a task of this kind, and the names of their classes; () for numbers."""
    if kind == "segmentation":
        return class_masks(raw, source)
    if kind == "reconstruction":
        return _whatever_there_is(raw, source)
    return _class_indices(raw, source) if kind == "classification" else (_numbers(raw, source), ())


def _whatever_there_is(raw: Raw, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """For a task that needs no labels: class indices where the source has classes, else its numbers, else zeros."""
    with contextlib.suppress(UserError):
        return _class_indices(raw, source)
    with contextlib.suppress(UserError):
        return _numbers(raw, source), ()
    return np.zeros(len(raw.y), np.int32), ()


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
    seen, counts = np.unique(y[: raw.sizes["train"]], return_counts=True)
    if len(seen) < 2:
        found = "of 1 class" if len(seen) else "of no class"
        raise UserError(f"{source} has training examples {found}; at least 2 are needed.")
    if raw.classes:
        if (bad := np.flatnonzero((y < 0) | (y >= len(raw.classes)))).size:
            raise UserError(
                f"{source} has the label {y[bad[0]]} in row {bad[0]}, outside its {len(raw.classes)} classes."
            )
        return y.astype(np.int32), raw.classes
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
