"""AlexNet, five convolutions and three dense layers. Krizhevsky et al. 2012, doi:10.1145/3065386."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
from jax.nn import relu

from .core import Model, chain, of_images
from .layers import batch_norm, conv, dense, dropout, flatten, he_normal, local_response_norm, max_pool

normal = jax.nn.initializers.normal(0.01)  # section 5, and the biases at 1 as well
ones = jax.nn.initializers.ones


@dataclass(frozen=True)
class AlexNet:
    """images [B, 227, 227, 3] -> logits [B, classes]. As published: 60,965,224 parameters for 1000 classes.

    The two groups are the paper's two GPUs; local response normalisation and overlapping pools stand where the paper
    has them. It speaks of 224 x 224 pixels, and its arithmetic of 227 x 227. Both give 55 x 55 positions and the same
    count here: the first convolution pads three pixels on the right and below, as the authors' program did, and 227
    pixels never reach them. Raises ValueError for images under 64 pixels and for a dropout rate outside [0, 1).
    """

    classes: int = 1000
    """classes to tell apart"""
    dropout: float = 0.5
    """probability of zeroing a unit of the two hidden dense layers in training"""

    def build(self) -> Model:
        return of_images(chain(
            conv(96, 11, stride=4, padding=[(0, 3), (0, 3)], kernel_init=normal), relu,  # [B, 55, 55, 96]
            local_response_norm(), max_pool(3, 2),                                       # [B, 27, 27, 96]
            conv(256, 5, groups=2, kernel_init=normal, bias_init=ones), relu,
            local_response_norm(), max_pool(3, 2),                                       # [B, 13, 13, 256]
            conv(384, 3, kernel_init=normal), relu,
            conv(384, 3, groups=2, kernel_init=normal, bias_init=ones), relu,
            conv(256, 3, groups=2, kernel_init=normal, bias_init=ones), relu,
            max_pool(3, 2), flatten,                                                     # [B, 6 * 6 * 256]
            dense(4096, kernel_init=normal, bias_init=ones), relu, dropout(self.dropout),
            dense(4096, kernel_init=normal, bias_init=ones), relu, dropout(self.dropout),
            dense(self.classes, kernel_init=normal),
        ))  # fmt: skip


@dataclass(frozen=True)
class AlexNetOneTower:
    """images [B, 224, 224, 3] -> logits [B, classes]. One tower, without groups and normalisation: torchvision's.

    After Krizhevsky 2014, arXiv:1404.5997; 61,100,840 parameters for 1000 classes at 224 x 224.
    Raises ValueError for images under 63 pixels and for a dropout rate outside [0, 1).
    """

    classes: int = 1000
    """classes to tell apart"""
    dropout: float = 0.5
    """probability of zeroing an input of the two hidden dense layers in training"""

    def build(self) -> Model:
        return of_images(chain(
            conv(64, 11, stride=4, padding=2, kernel_init=he_normal), relu, max_pool(3, 2),
            conv(192, 5, kernel_init=he_normal), relu, max_pool(3, 2),
            conv(384, 3, kernel_init=he_normal), relu,
            conv(256, 3, kernel_init=he_normal), relu,
            conv(256, 3, kernel_init=he_normal), relu, max_pool(3, 2),
            flatten, dropout(self.dropout),
            dense(4096, kernel_init=he_normal), relu, dropout(self.dropout),
            dense(4096, kernel_init=he_normal), relu,
            dense(self.classes),
        ))  # fmt: skip


@dataclass(frozen=True)
class AlexNetSmall:
    """images [B, 32, 32, C] -> logits [B, classes]. AlexNet's plan for small images: 52 million multiply-adds each.

    Five convolutions, overlapping 3x3/2 pools, dropout. The first kernel is 3 x 3 at stride 1, not 11 x 11 at 4. Raises
    ValueError for an unknown norm and for a dropout rate outside [0, 1).
    """

    classes: int = 10
    """classes to tell apart"""
    norm: Literal["batch", "response", "none"] = "batch"
    """after each convolution batch norm, or after the first two the paper's local response norm"""
    dropout: float = 0.5
    """probability of zeroing a unit of the two hidden dense layers in training"""

    def build(self) -> Model:
        if self.norm not in ("batch", "response", "none"):
            raise ValueError(f"norm is 'batch', 'response' or 'none', not '{self.norm}'")

        def convolution(features: int, respond: bool = False) -> list[Model | Callable]:
            layers: list[Model | Callable] = [conv(features, 3, kernel_init=he_normal, bias=self.norm != "batch")]
            layers += [batch_norm()] if self.norm == "batch" else []
            return [*layers, relu, *([local_response_norm()] if self.norm == "response" and respond else [])]

        def overlapping_pool() -> Model:
            return max_pool(3, 2, padding=[(0, 1), (0, 1)])  # halves an even size

        return of_images(chain(
            *convolution(64, respond=True), overlapping_pool(),  # [B, 16, 16, 64]
            *convolution(96, respond=True), overlapping_pool(),  # [B, 8, 8, 96]
            *convolution(160), *convolution(160),
            *convolution(128), overlapping_pool(),               # [B, 4, 4, 128]
            flatten,
            dense(512, kernel_init=he_normal), relu, dropout(self.dropout),
            dense(256, kernel_init=he_normal), relu, dropout(self.dropout),
            dense(self.classes),
        ))  # fmt: skip
