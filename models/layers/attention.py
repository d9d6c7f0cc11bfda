"""Multi-head self-attention. Vaswani et al. 2017, arXiv:1706.03762, section 3.2."""

import jax
import jax.numpy as jnp
from jax import Array

from ..core import Model, need_key, param_dtype
from .dense import add, lecun_normal, product


def self_attention(heads: int, *, dropout: float = 0.0, causal: bool = False, kernel_init=lecun_normal) -> Model:
    """softmax(Q K^T / sqrt(d)) V in each head of d = D / heads channels: [B, T, D] -> [B, T, D].

    params: query_key_value (kernel [D, 3 D], bias [3 D]) and output (kernel [D, D], bias [D]). With `causal`, a
    position sees itself and those before it. In training `dropout` zeroes attention weights with that probability.
    The softmax is float32 whatever the input is. Raises ValueError for a dropout rate outside [0, 1), for heads that do
    not divide the channels, and in training with dropout when no key is given.
    """
    if heads < 1:
        raise ValueError(f"attention needs at least 1 head, not {heads}")
    if not 0 <= dropout < 1:
        raise ValueError(f"a dropout rate lies in [0, 1), not {dropout}")

    def init(key, spec):
        if len(spec.shape) != 3 or spec.shape[-1] % heads:
            raise ValueError(f"attention with {heads} heads takes [B, T, D], D a multiple of them, not {spec.shape}")
        width, dtype = spec.shape[-1], param_dtype(spec)
        inward, outward = jax.random.split(key)
        return {
            "query_key_value": {
                "kernel": kernel_init(inward, (width, 3 * width), dtype), "bias": jnp.zeros(3 * width, dtype)
            },
            "output": {"kernel": kernel_init(outward, (width, width), dtype), "bias": jnp.zeros(width, dtype)},
        }, {}  # fmt: skip

    def apply(params, state, x, *, key=None, train=False):
        inward, outward = params["query_key_value"], params["output"]
        with jax.named_scope("query_key_value"):
            qkv = add(product(x, inward["kernel"]), inward["bias"]).reshape(*x.shape[:2], 3, heads, x.shape[2] // heads)
        query, key_, value = qkv.transpose(2, 0, 3, 1, 4)  # [B, heads, T, d] each
        drop = dropout if train else 0.0
        y = attend(query, key_, value, causal=causal, dropout=drop, key=need_key(key, "attention") if drop else None)
        with jax.named_scope("output"):
            y = product(y.transpose(0, 2, 1, 3).reshape(x.shape), outward["kernel"])
            return add(y, outward["bias"]), {}

    return Model(init, apply)


def attend(query: Array, key_: Array, value: Array, *, causal: bool = False, dropout: float = 0.0, key=None) -> Array:
    """softmax(Q K^T / sqrt(d)) V, equation 1: [..., T, d], [..., S, d], [..., S, d] -> [..., T, d].

    The sum of the softmax divides the product with V instead of each weight: d numbers a position rather than S.
    With `causal`, position t sees the positions up to t, and T = S. `dropout` takes a random `key`.
    """
    wide = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("...td,...sd->...ts", query, key_, preferred_element_type=wide) * query.shape[-1] ** -0.5
    if causal:
        scores = jnp.where(jnp.tri(scores.shape[-2], scores.shape[-1], dtype=bool), scores, -jnp.inf)
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
    total = weights.sum(-1, keepdims=True)
    if dropout:
        weights = jnp.where(jax.random.bernoulli(key, 1 - dropout, weights.shape), weights / (1 - dropout), 0)
    y = jnp.einsum("...ts,...sd->...td", weights.astype(value.dtype), value, preferred_element_type=wide)
    return (y / total).astype(query.dtype)
