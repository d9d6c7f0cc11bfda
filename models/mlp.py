"""Multilayer perceptron: dense layers with a nonlinearity between. Rumelhart et al. 1986, doi:10.1038/323533a0."""

from collections.abc import Callable
from dataclasses import dataclass

from .core import Model, chain
from .layers import activation, batch_norm, dense, dropout, flatten, he_normal


@dataclass(frozen=True)
class MLP:
    """features [B, ...] -> outputs [B, outputs]: logits of classes, or numbers to predict.

    Each hidden layer is dense, batch norm (optional), activation, dropout (optional). Raises ValueError for an unknown
    activation, a width below 1 or a dropout rate outside [0, 1).
    """

    outputs: int = 10
    """classes to tell apart, or numbers to predict"""
    widths: tuple[int, ...] = (512, 256)
    """units in each hidden layer; as many layers as numbers"""
    activation: str = "relu"
    """nonlinearity after each hidden layer: relu, gelu, tanh, sigmoid, ..."""
    dropout: float = 0.0
    """probability of zeroing a hidden unit in training"""
    batch_norm: bool = False
    """normalise each hidden unit over the batch"""

    def build(self) -> Model:
        layers: list[Model | Callable] = [flatten]
        for width in self.widths:
            layers.append(dense(width, kernel_init=he_normal, bias=not self.batch_norm))
            if self.batch_norm:
                layers.append(batch_norm())
            layers.append(activation(self.activation))
            if self.dropout:
                layers.append(dropout(self.dropout))
        return chain(*layers, dense(self.outputs))
