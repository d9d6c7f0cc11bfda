"""Weight normalisation. Salimans and Kingma 2016, arXiv:1602.07868."""

from collections.abc import Callable

import jax.numpy as jnp

from ..core import Model, as_model


def weight_norm(layer: Model | Callable) -> Model:
    """A layer whose kernel is scale * kernel / |kernel|, eq. 2, the length taken of each output's weights by itself.

    params: the layer's, and scale [features], which begins as |kernel|, so that the layer begins as without it.
    Raises ValueError for a layer without a kernel of its own.
    """
    layer = as_model(layer)

    def init(key, spec):
        params, state = layer.init(key, spec)
        if "kernel" not in params:
            raise ValueError("weight_norm is for a layer with a kernel of its own, such as dense or conv")
        return params | {"scale": _length(params["kernel"])}, state

    def apply(params, state, x, *, key=None, train=False):
        kernel = params["kernel"]
        kernel = kernel * (params["scale"] / _length(kernel))
        return layer.apply(params | {"kernel": kernel}, state, x, key=key, train=train)

    init.__qualname__ = layer.init.__qualname__  # `chain` names a layer after it
    return Model(init, apply)


def _length(kernel):
    """[..., features] -> [features], summed in float32."""
    square = jnp.square(kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32)))
    return jnp.sqrt(square.sum(tuple(range(kernel.ndim - 1)))).astype(kernel.dtype)
