"""What a data set's examples are kept in, and how some of them are taken, on the host or inside a compiled step."""

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from ...models.layers.sequences import Padded


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Windows:
    """Windows of one long array, cut when they are taken: number i is `values[i * stride : i * stride + length]`."""

    values: Any  # [L, ...]
    length: int = field(metadata={"static": True})
    stride: int = field(metadata={"static": True})

    def __len__(self) -> int:
        return (len(self.values) - self.length) // self.stride + 1


Examples = np.ndarray | jax.Array | Padded | Windows


def take(examples: Examples, rows) -> Any:
    """The examples of the numbers `rows` [B]: an array [B, ...], or `Padded` where they differ in length."""
    if isinstance(examples, Windows):
        return examples.values[rows[:, None] * examples.stride + np.arange(examples.length)]
    if isinstance(examples, Padded):
        return Padded(examples.x[rows], examples.lengths[rows])
    return examples[rows]


def number_of(examples: Examples) -> int:
    """How many there are."""
    return len(examples.lengths) if isinstance(examples, Padded) else len(examples)


def shape_of(examples: Examples) -> tuple[int, ...]:
    """The shape of an example; of the longest one, where they differ."""
    if isinstance(examples, Windows):
        return (examples.length, *examples.values.shape[1:])
    return (examples.x if isinstance(examples, Padded) else examples).shape[1:]
