"""Logistic (softmax) regression: a linear score for each class. Cox 1958, doi:10.1111/j.2517-6161.1958.tb00292.x."""

from dataclasses import dataclass

import jax

from .core import Model, chain
from .layers import dense, flatten


@dataclass(frozen=True)
class LogisticRegression:
    """features [B, ...] -> logits [B, classes]: x W + b, whose softmax is the probability of each class.

    The problem is convex, so W starts at zero.
    """

    classes: int = 10
    """classes to tell apart"""

    def build(self) -> Model:
        return chain(flatten, dense(self.classes, kernel_init=jax.nn.initializers.zeros))
