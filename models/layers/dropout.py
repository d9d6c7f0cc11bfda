"""Dropout. Srivastava et al. 2014, jmlr.org/papers/v15/srivastava14a.html."""

import jax
import jax.numpy as jnp

from ..core import Model, need_key


def dropout(rate: float, *, shared: tuple[int, ...] = ()) -> Model:
    """In training, zeroes each value with probability `rate` and divides the rest by 1 - rate; else the identity.

    [...] -> [...]. Values along the axes in `shared` are zeroed together: (1,) for whole channels of a sequence
    [B, T, C] (Tompson et al. 2015, arXiv:1411.4280). Raises ValueError for a rate outside [0, 1), and in training when
    no key is given.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"a dropout rate lies in [0, 1), not {rate}")

    def init(key, spec):
        return {}, {}

    def apply(params, state, x, *, key=None, train=False):
        if not train or rate == 0:
            return x, {}
        shape = [1 if axis in shared else n for axis, n in enumerate(x.shape)]
        keep = jax.random.bernoulli(need_key(key, "dropout"), 1 - rate, shape)
        return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype), {}

    return Model(init, apply)
