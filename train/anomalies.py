"""Anomalies: examples that a network restores worse than nearly all that it was validated on."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .data import Dataset
from .data.cache import write_npz
from .data.examples import Examples
from .data.npz import BROKEN
from .evaluation import compute_rows, errors_of_split
from .steps import Functions

FILE = "errors.npz"  # in a run's folder: how badly each validation example is restored, in the order of the split


def keep_errors(folder: Path, functions: Functions, weights: dict, dataset: Dataset, batch: int) -> None:
    """Writes what thresholds are chosen by, where the task restores its input and there is a validation split."""
    if functions.errors is not None and "validation" in dataset.splits:
        errors = errors_of_split(functions, weights, dataset, "validation", batch)
        write_npz(folder / FILE, {"validation": errors})


def threshold(folders: list[Path], false_alarms: float) -> float | None:
    """The error that at most a share `false_alarms` of the validation examples exceeds; None without such a split.

    An example's error is the mean over the seeds, whose folders these are.
    """
    try:
        with_seeds = [np.load(folder / FILE, allow_pickle=False)["validation"] for folder in folders]
        return float(np.quantile(np.mean(with_seeds, 0), 1 - false_alarms, method="higher"))
    except FileNotFoundError:
        return None
    except (*BROKEN, KeyError) as error:
        raise UserError(f"{folders[0] / FILE} is damaged: {error}") from error


def restored(opened: list, x: Examples, names: list[str], limit: float | None) -> list[dict[str, Any]]:
    """A record for each example: its error, and where there is a threshold that, and whether the error exceeds it."""
    errors = np.mean([compute_rows(functions.errors, weights, x, 256) for _, _, functions, weights in opened], 0)
    records = []
    for name, error in zip(names, errors.tolist(), strict=True):
        judged = {} if limit is None else {"threshold": limit, "anomaly": error > limit}
        records.append({"input": name, "restored": {"error": error} | judged})
    return records


def threshold_or_note(folder: Path, folders: list[Path], false_alarms: float) -> float | None:
    """`threshold`, and a note on standard error where there is none. UserError for a rate outside (0, 1)."""
    if not 0 < false_alarms < 1:
        raise UserError(f"--false-alarms is a share between 0 and 1, both excluded, not {false_alarms}")
    limit = threshold(folders, false_alarms)
    if limit is None:
        print(f"purezoo: {folder} has no validation split, so no threshold tells anomalies", file=sys.stderr)
    return limit
