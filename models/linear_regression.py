"""Linear regression: a weighted sum of the features. Legendre 1805, Gauss 1809."""

from dataclasses import dataclass

import jax

from .core import Model, chain
from .layers import dense, flatten


@dataclass(frozen=True)
class LinearRegression:
    """features [B, D] -> targets [B, outputs]: y = x W + b. The problem is convex, so W starts at zero."""

    outputs: int = 1
    """numbers to predict for each example"""

    def build(self) -> Model:
        return chain(flatten, dense(self.outputs, kernel_init=jax.nn.initializers.zeros))
