"""Exact evaluation: every example exactly once, whatever the batch size."""

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

import jax
import numpy as np

from .data import Dataset
from .data.examples import Examples, number_of, take
from .data.order import masked_batches
from .steps import Functions
from .tasks import Task

AHEAD = 2  # batches of evaluation that are dispatched before the first is waited for
FEW = 1000  # examples of a stream that are shown
Totals = dict[str, tuple[np.ndarray, np.ndarray]]  # name -> (sum, count), float64, with a leading axis of seeds


class Stopped(Exception):
    """A signal came before an evaluation was over."""


def add_up(batches: Iterable[dict], seeds: int = 1, received: Sequence[int] = ()) -> Totals:
    """Sums, in float64, of the metrics of batches, of which a few are computed ahead. Raises Stopped once there is a
    signal in `received`."""
    sums: Totals = {}
    waiting: deque[dict] = deque()

    def add(metrics: dict) -> None:
        for name, (total, count) in with_seed_axis(jax.device_get(metrics), seeds).items():
            old = sums.get(name, (0, 0))
            sums[name] = (old[0] + total, old[1] + count)

    def stop_after_signal() -> None:
        if received:
            raise Stopped

    for metrics in batches:
        waiting.append(metrics)
        if len(waiting) > AHEAD:
            add(waiting.popleft())
        stop_after_signal()
    for metrics in waiting:
        add(metrics)
        stop_after_signal()
    return sums


def in_order(evaluate: Callable, weights: dict, parts: Iterable) -> Iterator[dict]:
    """The metrics of batches, each evaluated with the state that the one before it left."""
    for part in parts:
        metrics, state = evaluate(weights, part)
        weights = weights | {"state": state}
        yield metrics


def with_seed_axis(metrics: dict, seeds: int) -> Totals:
    """Metrics in float64, with a leading axis of seeds also where there is only one."""
    return jax.tree.map(lambda a: np.asarray(a, np.float64) if seeds > 1 else np.asarray(a, np.float64)[None], metrics)


def of_seed(sums: Totals, seed: int) -> Totals:
    """The totals of one seed, by its place in the population."""
    return {name: (total[seed], count[seed]) for name, (total, count) in sums.items()}


def evaluate_split(functions: Functions, task: Task, weights: dict, dataset: Dataset, split: str, batch: int):
    """The metrics of one run's weights on a split, and the totals they come from."""
    evaluate, weights = jax.jit(functions.evaluate), jax.device_put(weights)
    rows = dataset.splits[split]
    with contextlib.closing(batches(dataset, rows, min(batch, len(rows)))) as found:
        sums = of_seed(add_up(in_order(evaluate, functions.begin(weights), found)), 0)
    return task.summarize(sums), sums


def batches(dataset: Dataset, rows: np.ndarray, batch: int) -> Generator[dict, None, None]:
    """Batches on the host that hold each of `rows` exactly once, the last filled up with weight 0."""
    if dataset.stream is not None:
        yield from dataset.stream.once(rows, batch, dataset.skipped)
        return
    for padded, weight in masked_batches(rows, batch):
        yield {"x": take(dataset.x, padded), "y": take(dataset.y, padded), "row": padded, "weight": weight}


def examples(dataset: Dataset, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x [N, ...] and y [N, ...] of rows; of a stream up to FEW of them, evenly spread, that can be read."""
    if dataset.stream is None:
        return take(dataset.x, rows), take(dataset.y, rows)
    with contextlib.closing(batches(dataset, rows[:: -(-len(rows) // FEW)], 50)) as found:
        parts = [(one["x"][one["weight"] > 0], one["y"][one["weight"] > 0]) for one in found]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def errors_of_split(functions: Functions, weights: dict, dataset: Dataset, split: str, batch: int) -> np.ndarray:
    """How badly each example of a split is restored, [N] float32 in the order of its rows; of a stream those that can
    be read."""
    assert functions.errors is not None
    errors, weights, rows = jax.jit(functions.errors), jax.device_put(weights), dataset.splits[split]
    with contextlib.closing(batches(dataset, rows, min(batch, len(rows)))) as found:
        return np.concatenate([np.asarray(errors(weights, one["x"]))[one["weight"] > 0] for one in found])


def predict_rows(functions: Functions, weights: dict, x: Examples, batch: int) -> np.ndarray:
    """The network's outputs for raw inputs x [N, ...]: [N, ...] float32, computed in batches of one size."""
    return compute_rows(functions.predict, weights, x, batch)


def compute_rows(function: Callable, weights: dict, x: Examples, batch: int) -> np.ndarray:
    """`function(weights, x [B, ...])` for raw inputs x [N, ...]: [N, ...], computed in batches of one size."""
    compiled, weights = jax.jit(function), jax.device_put(weights)
    parts = [
        np.asarray(compiled(weights, take(x, rows)))[: int(weight.sum())]
        for rows, weight in masked_batches(np.arange(number_of(x)), min(batch, number_of(x)))
    ]
    return np.concatenate(parts)
