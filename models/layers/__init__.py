"""The building blocks: each a `Model`, or a function of one array that `chain` lifts to one."""

from .activations import activation
from .conv import conv, conv_transpose
from .dense import dense, flatten, he_normal, lecun_normal
from .dropout import dropout
from .norm import batch_norm, group_norm, layer_norm
from .pool import avg_pool, global_avg_pool, global_max_pool, max_pool

__all__ = [
    "activation",
    "avg_pool",
    "batch_norm",
    "conv",
    "conv_transpose",
    "dense",
    "dropout",
    "flatten",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "he_normal",
    "layer_norm",
    "lecun_normal",
    "max_pool",
]
