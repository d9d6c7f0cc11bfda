"""LeNet-5 in its modern form: two convolutions, three dense layers. LeCun et al. 1998, doi:10.1109/5.726791."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jax.nn import relu

from .core import Model, chain, of_images
from .layers import avg_pool, conv, dense, dropout, flatten, he_normal, max_pool


@dataclass(frozen=True)
class LeNet:
    """images [B, H, W, C] -> logits [B, classes].

    ReLU and max-pooling take the place of the paper's squashing and trainable subsampling, as is usual today, and the
    first convolution pads 28 x 28 images where the paper's images came with a margin. 61,706 parameters for MNIST.
    Raises ValueError for images too small for the padding and for a dropout rate outside [0, 1).
    """

    classes: int = 10
    """classes to tell apart"""
    width: int = 1
    """multiplies the channels of both convolutions, 6 and 16"""
    padding: Literal["SAME", "VALID"] = "VALID"
    """of the second convolution: VALID as in the paper, SAME for images smaller than 12 x 12 pixels"""
    pooling: Literal["max", "average", "none"] = "max"
    """over windows of 2 x 2; average as in 1998, or none, and then the first dense layer is large"""
    dropout: float = 0.0
    """probability of zeroing a unit of the dense layers in training"""

    def build(self) -> Model:
        pools: dict[str, Model | Callable] = {"max": max_pool(2), "average": avg_pool(2), "none": lambda x: x}
        if self.pooling not in pools:
            raise ValueError(f"pooling is {', '.join(pools)}, not '{self.pooling}'")
        pool = pools[self.pooling]
        return of_images(chain(
            conv(6 * self.width, 5, padding="SAME", kernel_init=he_normal), relu, pool,
            conv(16 * self.width, 5, padding=self.padding, kernel_init=he_normal), relu, pool,
            flatten,
            dense(120, kernel_init=he_normal), relu, dropout(self.dropout),
            dense(84, kernel_init=he_normal), relu, dropout(self.dropout),
            dense(self.classes),
        ))  # fmt: skip
