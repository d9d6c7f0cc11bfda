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
        y = product(x, params["kernel"])
        return add(y, params["bias"]) if bias else y, {}

    return Model(init, apply)


def product(x, kernel):
    """x @ kernel, [..., D] and [D, F] -> [..., F]. In bfloat16 this and its gradients are summed in float32 on CPU too,
    where some of XLA's own, since jaxlib 0.11, are not."""
    if jnp.result_type(x, kernel).itemsize >= 4:
        return x @ kernel
    return jax.lax.platform_dependent(x, kernel, cpu=_product_in_float32, default=jnp.matmul)


def _product_in_float32(x, kernel):
    return (x.astype(jnp.float32) @ kernel.astype(jnp.float32)).astype(jnp.result_type(x, kernel))


def add(y, bias):
    """y + bias for y [..., D], by way of float32: in bfloat16 the gradient of a bias, a sum over all examples and
    positions, would be summed in bfloat16 as well, which stops growing after 256 ones."""
    dtype = jnp.result_type(y, bias)
    wide = jnp.promote_types(dtype, jnp.float32)
    return (y.astype(wide) + bias.astype(wide)).astype(dtype)


def flatten(x):
    """[B, ...] -> [B, D]: each example as one vector, row by row."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))  # not -1, which an empty batch leaves open
