"""Tokens as vectors. Bengio et al. 2003, jmlr.org/papers/v3/bengio03a.html."""

import jax.numpy as jnp
from jax.nn import initializers

from ..core import Model, param_dtype

normal = initializers.normal(1.0)


def embedding(vocabulary: int, features: int, *, embedding_init=normal) -> Model:
    """A learned vector for each token: integers [B, ...] from 0 to vocabulary - 1 -> [B, ..., features].

    params: embedding [vocabulary, features]. A token that is none of the vocabulary takes its nearest end: checking is
    the data's business. Raises ValueError for a vocabulary or features below 1.
    """
    if vocabulary < 1 or features < 1:
        raise ValueError(f"an embedding needs a vocabulary and features of at least 1, not {vocabulary} and {features}")

    def init(key, spec):
        return {"embedding": embedding_init(key, (vocabulary, features), param_dtype(spec))}, {}

    def apply(params, state, x, *, key=None, train=False):
        return jnp.take(params["embedding"], x.astype(jnp.int32), 0, mode="clip"), {}

    return Model(init, apply)
