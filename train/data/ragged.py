"""Sequences of different lengths: how they are kept, cut, and completed where numbers are missing."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ...errors import UserError
from .examples import Ragged
from .raw import check_finite, check_memory

Fill = Literal["", "previous", "linear", "zero", "skip"]  # skip: rows that a series lacks stay away
RULES = "--data.fill previous, linear or zero says what to put there."
NO_RULE = "The run was trained without a rule for it (--data.fill): complete the file."


def joined(sequences: Sequence[np.ndarray], what: str) -> np.ndarray | Ragged:
    """Sequences [T, D] as one array [N, T, D] float32, `Ragged` with zeros where their lengths differ.

    UserError, naming `what`, where one has no step or a number that is not finite, or where memory does not suffice.
    """
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    if not lengths.all():
        raise UserError(f"{what}: sequence {lengths.argmin()} (counted from 0) has no steps.")
    shape = len(sequences), lengths.max(), sequences[0].shape[1]
    check_memory(4 * int(np.prod(shape, dtype=np.float64)), what)
    x = np.zeros(shape, np.float32)
    for row, sequence in zip(x, sequences, strict=True):
        row[: len(sequence)] = sequence
    check_finite(x, what)
    return x if (lengths == shape[1]).all() else Ragged(x, lengths)


def cut(x: np.ndarray | Ragged, steps: int) -> np.ndarray | Ragged:
    """The first `steps` steps of each sequence; 0: all."""
    if not steps:
        return x
    if not isinstance(x, Ragged):
        return x[:, :steps]
    x = Ragged(x.x[:, :steps], np.minimum(x.lengths, steps))
    return x.x if (x.lengths == x.x.shape[1]).all() else x


def real_rows(x: Ragged, rows: np.ndarray) -> np.ndarray:
    """The real steps of the sequences `rows`, one after another: [M, D]."""
    some = x.x[rows]
    return np.asarray(some[np.arange(some.shape[1]) < np.asarray(x.lengths)[rows, None]])


def filled(series: np.ndarray, rule: Fill, where: str, mend: str = RULES) -> np.ndarray:
    """A series [T, D] without NaN: a gap holds the value before it (previous; at the start the first one after it), the
    line between its neighbours (linear; at the ends the nearest value), or zero. UserError, naming `where`, for a gap
    without a rule, with the advice `mend`, and for a column of gaps alone."""
    gaps = np.isnan(series)
    if not gaps.any():
        return series
    step, column = np.argwhere(gaps)[0]
    if not rule:
        raise UserError(f"{where}: the value of step {step} (counted from 0) is missing in column {column}. {mend}")
    if gaps.all(0).any() and rule != "zero":
        raise UserError(f"{where}: column {gaps.all(0).argmax()} holds no value at all: only --data.fill zero helps.")
    if rule == "zero":
        return np.where(gaps, 0, series)
    series, steps = series.copy(), np.arange(len(series))
    for d in np.flatnonzero(gaps.any(0)):
        known = steps[~gaps[:, d]]
        if rule == "linear":
            series[:, d] = np.interp(steps, known, series[known, d])
        else:
            series[:, d] = series[known[(np.searchsorted(known, steps, side="right") - 1).clip(0)], d]
    return series
