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
        scale = params["scale"]
        dtype = jnp.result_type(x, scale)
        wide = jnp.promote_types(dtype, jnp.float32)  # in which the scale's gradient is summed
        return (x.astype(wide) * scale.astype(wide)).astype(dtype), {}

    return Model(init, apply)
