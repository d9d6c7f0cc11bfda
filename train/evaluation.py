"""Exact evaluation: every example exactly once, whatever the batch size."""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from .data import Dataset
from .steps import Functions
from .tasks import Task

Totals = dict[str, tuple[np.ndarray, np.ndarray]]  # name -> (sum, count), float64, with a leading axis of seeds


def totals(evaluate_batch: Callable, rows: np.ndarray, batch: int, seeds: int = 1) -> Totals:
    """Sums of the metrics over all rows, in float64, of `evaluate_batch(rows [batch], weight [batch])`."""
    sums: Totals = {}
    waiting = [evaluate_batch(padded, weight) for padded, weight in masked_batches(rows, batch)]
    for metrics in jax.device_get(waiting):
        for name, (total, count) in with_seed_axis(metrics, seeds).items():
            old = sums.get(name, (0, 0))
            sums[name] = (old[0] + total, old[1] + count)
    return sums


def with_seed_axis(metrics: dict, seeds: int) -> Totals:
    """Metrics in float64, with a leading axis of seeds also where there is only one."""
    return jax.tree.map(lambda a: np.asarray(a, np.float64) if seeds > 1 else np.asarray(a, np.float64)[None], metrics)


def masked_batches(rows: np.ndarray, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every row exactly once, in batches of one size: (rows, weight), the last filled up with weight 0."""
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        yield np.resize(part, batch).astype(np.int32), (np.arange(batch) < len(part)).astype(np.float32)


def of_seed(sums: Totals, seed: int) -> Totals:
    """The totals of one seed, by its place in the population."""
    return {name: (total[seed], count[seed]) for name, (total, count) in sums.items()}


def evaluate_split(functions: Functions, task: Task, weights: dict, dataset: Dataset, split: str, batch: int):
    """The metrics of one run's weights on a split, and the totals they come from."""
    evaluate = jax.jit(functions.evaluate)

    def evaluate_batch(rows, weight):
        return evaluate(weights, {"x": dataset.x[rows], "y": dataset.y[rows], "weight": weight})

    sums = of_seed(totals(evaluate_batch, dataset.splits[split], batch), 0)
    return task.summarize(sums), sums


def predict_rows(functions: Functions, weights: dict, x: np.ndarray, batch: int) -> np.ndarray:
    """The network's outputs for raw inputs x [N, ...]: [N, ...] float32, computed in batches of one size."""
    predict = jax.jit(functions.predict)
    parts = [
        np.asarray(predict(weights, x[rows]))[: int(weight.sum())]
        for rows, weight in masked_batches(np.arange(len(x)), min(batch, len(x)))
    ]
    return np.concatenate(parts)
