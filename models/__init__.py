"""The zoo: networks as pairs of pure functions."""

from .core import Model, chain, count, lift, named, residual, skip
from .lenet import LeNet
from .linear_regression import LinearRegression
from .logistic_regression import LogisticRegression
from .mlp import MLP

__all__ = [
    "MLP",
    "LeNet",
    "LinearRegression",
    "LogisticRegression",
    "Model",
    "chain",
    "count",
    "lift",
    "named",
    "residual",
    "skip",
]
