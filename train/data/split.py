"""Splits: explicit row indices, drawn once by a seed and recorded with the run."""

import math
import zipfile
from pathlib import Path

import numpy as np

from ...errors import UserError
from .cache import write_npz

Splits = dict[str, np.ndarray]
NAMES = ("train", "validation", "test")


def make_splits(sizes: dict[str, int], labels: np.ndarray | None, test: float, validation: float, seed: int) -> Splits:
    """The rows of each split, sorted int32, pairwise disjoint and together all rows.

    The source's own splits (`sizes`, in row order) are kept. A missing test split takes ceil(test * N) of the training
    rows, then a missing validation split ceil(validation * N') of the N' that remain. With `labels` [N] each keeps the
    proportions of the classes. UserError where a split would be empty or lose a class from training.
    """
    ends = np.cumsum(list(sizes.values()))
    splits = {name: np.arange(end - sizes[name], end) for name, end in zip(sizes, ends, strict=True)}
    # Each split has its own stream of random numbers (subset.py the third), so that the test set does not depend on the
    # validation fraction.
    for stream, (name, fraction) in enumerate((("test", test), ("validation", validation))):
        if name in splits or fraction == 0:
            continue
        rows = splits["train"]
        size = math.ceil(round(fraction * len(rows), 9))  # rounded first: 0.07 * 100 is 7.000000000000001
        held = draw(size, None if labels is None else labels[rows], len(rows), np.random.default_rng([seed, stream]))
        splits[name], splits["train"] = rows[held], rows[~held]
    if empty := [name for name, rows in splits.items() if len(rows) == 0]:
        raise UserError(f"The {empty[0]} split is empty: {sum(sizes.values())} examples are too few for these splits.")
    return {name: splits[name].astype(np.int32) for name in NAMES if name in splits}


def draw(size: int, labels: np.ndarray | None, n: int, rng: np.random.Generator) -> np.ndarray:
    """A mask [n] with `size` rows, of each class in proportion (largest remainders), never a whole class.

    scikit-learn's StratifiedShuffleSplit would do; importing it costs a second in every process.
    """
    if labels is None:
        return np.isin(np.arange(n), rng.permutation(n)[:size])
    counts = np.bincount(labels)
    share = size * counts / n
    most = np.maximum(counts - 1, 0)
    take = np.minimum(share.astype(int), most)
    tie_break = rng.random(len(counts))
    while (short := size - take.sum()) > 0:
        open_ = np.flatnonzero(take < most)
        if len(open_) == 0:
            raise UserError(f"{size} of {n} examples cannot be held out and leave one of each class for training.")
        by_need = np.lexsort((tie_break[open_], (take - share)[open_]))
        take[open_[by_need[:short]]] += 1
    order = rng.permutation(n)
    order = order[np.argsort(labels[order], kind="stable")]  # class by class, shuffled within each
    rank = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    mask = np.zeros(n, bool)
    mask[order[rank < np.repeat(take, counts)]] = True
    return mask


def check_splits(splits: Splits, n: int) -> Splits:
    """Recorded splits, where they fit `n` examples; else UserError."""
    rows = np.concatenate([*splits.values(), np.zeros(0, np.int32)])
    if not {"train", "test"} <= set(splits) <= set(NAMES) or not all(len(part) for part in splits.values()):
        raise UserError(f"The recorded splits are damaged: they hold {', '.join(splits) or 'nothing'}.")
    if len(rows) != n or not np.array_equal(np.sort(rows), np.arange(n)):
        raise UserError(
            f"The recorded splits are of {len(rows)} examples and do not fit the {n} of the data: they changed."
        )
    return splits


def save_splits(path: str | Path, splits: Splits) -> None:
    """Write the splits as an NPZ file."""
    write_npz(Path(path), splits)


def load_splits(path: str | Path) -> Splits:
    """The splits that `save_splits` wrote. UserError where the file is missing or damaged."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"The recorded splits {path} are missing or damaged.") from error
