"""Activations by name, for configs: `activation("relu")`. In a network, any function of one array is a layer."""

import difflib
from collections.abc import Callable

import jax
import jax.numpy as jnp


def exact_gelu(x):
    """x P(X <= x) for a standard normal X, which `gelu` approximates. Hendrycks and Gimpel 2016, arXiv:1606.08415."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))  # of 1 + erf(x) bfloat16 leaves nothing below -2
    return (wide * (0.5 * (1 + jax.lax.erf(wide * 0.5**0.5)))).astype(x.dtype)


ACTIVATIONS: dict[str, Callable] = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "gelu": jax.nn.gelu,
    "exact_gelu": exact_gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
}


def activation(name: str) -> Callable:
    """The elementwise function of that name. Raises ValueError for an unknown one."""
    if name not in ACTIVATIONS:
        alike = difflib.get_close_matches(name, ACTIVATIONS, n=1)
        raise ValueError(
            f"no activation '{name}': choose {', '.join(ACTIVATIONS)}" + (f" ({alike[0]}?)" if alike else "")
        )
    return ACTIVATIONS[name]
