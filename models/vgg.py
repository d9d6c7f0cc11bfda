"""VGG, 3 x 3 convolutions one after another. Simonyan and Zisserman 2014, arXiv:1409.1556."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jax.nn import relu

from .core import Model, chain, of_images
from .layers import batch_norm, conv, dense, dropout, flatten, he_normal, max_pool

# Table 1: how many convolutions of 64, 128, 256, 512 and 512 channels stand before each of the five pools.
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


@dataclass(frozen=True)
class VGG:
    """images [B, 224, 224, 3] -> logits [B, classes].

    For 1000 classes at 224 x 224, 132,863,336 (11 layers), 133,047,848 (13), 138,357,544 (16) and 143,667,240 (19)
    parameters. Raises ValueError for another depth, for images under 32 pixels and for a dropout rate outside [0, 1).
    """

    depth: Literal[11, 13, 16, 19] = 16
    """layers with weights: the paper's configurations A, B, D and E"""
    classes: int = 1000
    """classes to tell apart"""
    dropout: float = 0.5
    """probability of zeroing a unit of the two hidden dense layers in training"""
    batch_norm: bool = False
    """normalise after each convolution"""

    def build(self) -> Model:
        if self.depth not in CONVOLUTIONS:
            raise ValueError(f"VGG has {', '.join(map(str, CONVOLUTIONS))} layers, not {self.depth}")
        layers: list[Model | Callable] = []
        for channels, times in zip(CHANNELS, CONVOLUTIONS[self.depth], strict=True):
            for _ in range(times):
                layers += [conv(channels, 3, kernel_init=he_normal), *([batch_norm()] if self.batch_norm else []), relu]
            layers.append(max_pool(2))
        return of_images(chain(
            *layers, flatten,  # [B, 7 * 7 * 512]
            dense(4096, kernel_init=he_normal), relu, dropout(self.dropout),
            dense(4096, kernel_init=he_normal), relu, dropout(self.dropout),
            dense(self.classes),
        ))  # fmt: skip
