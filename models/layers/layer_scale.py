"""Layer scale. Touvron et al. 2021, arXiv:2103.17239."""

import jax.numpy as jnp

from ..core import Model, param_dtype


def layer_scale(start: float = 1e-6) -> Model:
    """Each channel times a learned number that starts small, so that a residual block starts near the identity.

    [..., C] -> [..., C]. params: scale [C], `start` at first.
    """

    def init(key, spec):
        return {"scale": jnp.full(spec.shape[-1], start, param_dtype(spec))}, {}

    def apply(params, state, x, *, key=None, train=False):
        return x * params["scale"], {}

    return Model(init, apply)
