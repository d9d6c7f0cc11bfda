"""The building blocks: each a `Model`, or a function of one array that `chain` lifts to one."""

from .activations import activation, exact_gelu
from .attention import attend, self_attention
from .conv import conv, conv_transpose
from .dense import dense, flatten, he_normal, lecun_normal
from .dropout import dropout
from .layer_scale import layer_scale
from .norm import batch_norm, group_norm, layer_norm, local_response_norm
from .patches import class_token, patch_embedding, position_embedding
from .pool import avg_pool, global_avg_pool, global_max_pool, max_pool
from .stochastic_depth import stochastic_depth

__all__ = [
    "activation",
    "attend",
    "avg_pool",
    "batch_norm",
    "class_token",
    "conv",
    "conv_transpose",
    "dense",
    "dropout",
    "exact_gelu",
    "flatten",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "he_normal",
    "layer_norm",
    "layer_scale",
    "lecun_normal",
    "local_response_norm",
    "max_pool",
    "patch_embedding",
    "position_embedding",
    "self_attention",
    "stochastic_depth",
]
