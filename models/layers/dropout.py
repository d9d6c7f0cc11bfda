"""Dropout. Srivastava et al. 2014, jmlr.org/papers/v15/srivastava14a.html."""

import jax
import jax.numpy as jnp

from ..core import Model, as_float, need_key


def dropout(rate: float, *, shared: tuple[int, ...] = ()) -> Model:
    """In training, zeroes each value with probability `rate` and divides the rest by 1 - rate; else the identity.

    [...] -> [...]. Values along the axes in `shared` are zeroed together: (1,) for whole channels of a sequence
    [B, T, C] (Tompson et al. 2015, arXiv:1411.4280); negative axes count from the last. Raises ValueError for a rate
    outside [0, 1), for an axis that the input has not, and in training when no key is given.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"a dropout rate lies in [0, 1), not {rate}")

    def of_draws(shape):
        if any(not -len(shape) <= axis < len(shape) for axis in shared):
            raise ValueError(f"dropout is shared along the axes {shared}, and its input has the shape {shape}")
        together = {axis % len(shape) for axis in shared}
        return [1 if axis in together else n for axis, n in enumerate(shape)]

    def init(key, spec):
        of_draws(spec.shape)
        return {}, {}

    def apply(params, state, x, *, key=None, train=False):
        x = as_float(x)
        if not train or rate == 0:
            return x, {}
        keep = jax.random.bernoulli(need_key(key, "dropout"), 1 - rate, of_draws(x.shape))
        return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype), {}

    return Model(init, apply)
