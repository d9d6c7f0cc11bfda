"""The building blocks: each a `Model`, or a function of one array that `chain` lifts to one."""

from .activations import activation, exact_gelu
from .attention import attend, self_attention
from .cells import Cell, elman, gru, lstm, minimal_gated_unit
from .conv import conv, conv_transpose
from .dense import dense, flatten, he_normal, lecun_normal
from .dropout import dropout
from .embedding import embedding
from .layer_scale import layer_scale
from .norm import batch_norm, group_norm, layer_norm, local_response_norm
from .patches import class_token, patch_embedding, position_embedding
from .pool import avg_pool, global_avg_pool, global_max_pool, max_pool
from .recurrent import bidirectional, recurrent
from .sequences import Padded, as_pixels, as_steps, last_step, mean_step, on_values, read_out, values, zero_padding
from .stochastic_depth import stochastic_depth
from .weight_norm import weight_norm

__all__ = [
    "Cell",
    "Padded",
    "activation",
    "as_pixels",
    "as_steps",
    "attend",
    "avg_pool",
    "batch_norm",
    "bidirectional",
    "class_token",
    "conv",
    "conv_transpose",
    "dense",
    "dropout",
    "elman",
    "embedding",
    "exact_gelu",
    "flatten",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "gru",
    "he_normal",
    "last_step",
    "layer_norm",
    "layer_scale",
    "lecun_normal",
    "local_response_norm",
    "lstm",
    "max_pool",
    "mean_step",
    "minimal_gated_unit",
    "on_values",
    "patch_embedding",
    "position_embedding",
    "read_out",
    "recurrent",
    "self_attention",
    "stochastic_depth",
    "values",
    "weight_norm",
    "zero_padding",
]
