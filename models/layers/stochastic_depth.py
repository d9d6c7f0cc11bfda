"""Stochastic depth. Huang et al. 2016, arXiv:1603.09382."""

import jax
import jax.numpy as jnp

from ..core import Model, as_float, need_key


def stochastic_depth(rate: float) -> Model:
    """The last layer of a residual branch: in training it drops the branch of an example with probability `rate`.

    [B, ...] -> [B, ...]. The branches that are kept are divided by 1 - rate; where train=False, the identity.
    Raises ValueError for a rate outside [0, 1), and in training when no key is given.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"a stochastic depth rate lies in [0, 1), not {rate}")

    def init(key, spec):
        return {}, {}

    def apply(params, state, x, *, key=None, train=False):
        x = as_float(x)
        if not train or rate == 0:
            return x, {}
        shape = (x.shape[0], *(1,) * (x.ndim - 1))
        keep = jax.random.bernoulli(need_key(key, "stochastic depth"), 1 - rate, shape)
        return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype), {}

    return Model(init, apply)
