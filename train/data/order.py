"""Which examples a batch holds: of training a pure function of (seed, step), of evaluation each example once."""

from collections.abc import Iterator

import numpy as np


class Order:
    """Which examples each step sees: every epoch in an order of its own, a pure function of (seed, step).

    `in_turn`: for networks that remember. In each epoch number b of all batches reads the b-th of B equal parts of the
    rows from its beginning to its end; where the first part begins is drawn.
    """

    def __init__(self, seeds: list[int], rows: np.ndarray, batch: int, in_turn: bool = False):
        self.seeds, self.all_rows, self.batch, self.in_turn = seeds, rows, batch, in_turn
        self.per_epoch = len(rows) // batch
        self.known: tuple[int, list[np.ndarray]] = (-1, [])

    def rows(self, step: int, block: int, n: int) -> np.ndarray:
        """The rows of n steps from `step` on, filled up with zeros: [block, B], or [block, seeds, B] for several."""
        out = np.zeros((block, len(self.seeds), self.batch), np.int32)
        for i in range(n):
            epoch, place = divmod(step + i, self.per_epoch)
            for s, order in enumerate(self._epoch(epoch)):
                out[i, s] = order[place * self.batch : (place + 1) * self.batch]
        return out if len(self.seeds) > 1 else out[:, 0]

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        known = self.known  # replaced as a whole: the threads of a stream share it
        if known[0] != epoch:
            known = self.known = (epoch, [self._drawn(np.random.default_rng((seed, epoch))) for seed in self.seeds])
        return known[1]

    def _drawn(self, random: np.random.Generator) -> np.ndarray:
        if not self.in_turn:
            return random.permutation(self.all_rows)
        used = self.batch * self.per_epoch
        first = random.integers(len(self.all_rows) - used + 1)
        return self.all_rows[first : first + used].reshape(self.batch, self.per_epoch).T.ravel()


def masked_batches(rows: np.ndarray, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every row exactly once, in batches of one size: (rows, weight), the last filled up with weight 0."""
    return (masked_batch(rows, batch, i) for i in range(-(-len(rows) // batch)))


def masked_batch(rows: np.ndarray, batch: int, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Number i of them: rows int32 [batch], weight float32 [batch]."""
    part = rows[i * batch : (i + 1) * batch]
    return np.resize(part, batch).astype(np.int32), (np.arange(batch) < len(part)).astype(np.float32)
