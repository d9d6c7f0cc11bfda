"""What a data set's examples are kept in, and how some of them are taken, on the host or inside a compiled step.

Nothing here imports jax: processes that decode pictures import this package.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class Ragged(NamedTuple):
    """Sequences of different lengths: of x [N, T, ...] the first `lengths` [N] steps are real, then zeros follow."""

    x: Any
    lengths: Any


@dataclass(frozen=True)
class Windows:
    """Windows of one long array, cut when they are taken: number i is `values[i * stride : i * stride + length]`."""

    values: Any  # [L, ...]
    length: int
    stride: int

    def __len__(self) -> int:
        return (len(self.values) - self.length) // self.stride + 1


Examples = np.ndarray | Ragged | Windows


def take(examples: Examples, rows) -> Any:
    """The examples of the numbers `rows` [B]: an array [B, ...], or `Ragged` where they differ in length."""
    if isinstance(examples, Windows):
        return examples.values[rows[:, None] * examples.stride + np.arange(examples.length)]
    if isinstance(examples, Ragged):
        return Ragged(examples.x[rows], examples.lengths[rows])
    return examples[rows]


def number_of(examples: Examples) -> int:
    """How many there are."""
    return len(examples.lengths) if isinstance(examples, Ragged) else len(examples)


def shape_of(examples: Examples) -> tuple[int, ...]:
    """The shape of an example; of the longest one, where they differ."""
    if isinstance(examples, Windows):
        return (examples.length, *examples.values.shape[1:])
    return (examples.x if isinstance(examples, Ragged) else examples).shape[1:]
