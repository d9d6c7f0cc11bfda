"""The fully connected layer."""

import math

import jax
import jax.numpy as jnp

from ..core import Model, param_dtype

he_normal = jax.nn.initializers.he_normal()
lecun_normal = jax.nn.initializers.lecun_normal()
zeros = jax.nn.initializers.zeros


def dense(features: int, *, bias: bool = True, kernel_init=lecun_normal, bias_init=zeros) -> Model:
    """y = x W + b on the last axis: [..., D] -> [..., features].

    params: kernel [D, features], bias [features]. The kernel starts as LeCun's normal (1998), the bias at zero, unless
    given other initialisers of JAX.
    Raises ValueError for features < 1.
    """
    if features < 1:
        raise ValueError(f"dense needs at least 1 feature, not {features}")

    def init(key, spec):
        dtype = param_dtype(spec)
        params = {"kernel": kernel_init(key, (spec.shape[-1], features), dtype)}
        return params | ({"bias": bias_init(key, (features,), dtype)} if bias else {}), {}

    def apply(params, state, x, *, key=None, train=False):
        y = x @ params["kernel"]
        return add(y, params["bias"]) if bias else y, {}

    return Model(init, apply)


def add(y, bias):
    """y + bias for y [..., D], by way of float32: in bfloat16 the gradient of a bias, a sum over all examples and
    positions, would be summed in bfloat16 as well, which stops growing after 256 ones."""
    dtype = jnp.result_type(y, bias)
    wide = jnp.promote_types(dtype, jnp.float32)
    return (y.astype(wide) + bias.astype(wide)).astype(dtype)


def flatten(x):
    """[B, ...] -> [B, D]: each example as one vector, row by row."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))  # not -1, which an empty batch leaves open
