"""The fully connected layer."""

import jax
import jax.numpy as jnp

from ..core import Model, param_dtype

he_normal = jax.nn.initializers.he_normal()
lecun_normal = jax.nn.initializers.lecun_normal()


def dense(features: int, *, bias: bool = True, kernel_init=lecun_normal) -> Model:
    """y = x W + b on the last axis: [..., D] -> [..., features].

    params: kernel [D, features], bias [features]. The kernel starts as LeCun's normal (1998), the bias at zero.
    Raises ValueError for features < 1.
    """
    if features < 1:
        raise ValueError(f"dense needs at least 1 feature, not {features}")

    def init(key, spec):
        dtype = param_dtype(spec)
        params = {"kernel": kernel_init(key, (spec.shape[-1], features), dtype)}
        return params | ({"bias": jnp.zeros(features, dtype)} if bias else {}), {}

    def apply(params, state, x, *, key=None, train=False):
        y = x @ params["kernel"]
        return y + params["bias"] if bias else y, {}

    return Model(init, apply)


def flatten(x):
    """[B, ...] -> [B, D]: each example as one vector, row by row."""
    return x.reshape(x.shape[0], -1)
