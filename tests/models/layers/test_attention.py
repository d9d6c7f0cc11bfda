"""What the parity tests leave open: dropout, large scores and low precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models.layers import attend, self_attention

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 8)), jnp.float32)


def test_scores_of_any_size_are_finite_with_their_gradients():
    huge = 1e4 * X
    causal, gradient = jax.jit(jax.value_and_grad(lambda q: attend(q, X, X, causal=True).sum()))(huge)
    assert np.isfinite(causal)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(attend(huge, X, X)[0, 0], X[0, jnp.argmax(X[0] @ X[0, 0])], rtol=1e-5)


def test_the_softmax_is_float32_when_the_input_is_not():
    """Where all of 4096 weights are equal, a sum in bfloat16 would stop at 256."""
    value = jnp.ones((1, 4096, 2), jnp.bfloat16)
    y = attend(jnp.zeros_like(value), jnp.zeros_like(value), value)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y.astype(jnp.float32), 1)


def test_dropout_is_random_in_training_alone_and_keeps_the_mean():
    layer = self_attention(2, dropout=0.3)
    params, _ = layer.init(KEY, X)
    with pytest.raises(ValueError, match="attention is random in training"):
        layer.apply(params, {}, X, train=True)
    y, _ = self_attention(2).apply(params, {}, X, train=True)
    np.testing.assert_array_equal(layer.apply(params, {}, X)[0], y)

    run = jax.jit(jax.vmap(lambda key: layer.apply(params, {}, X, key=key, train=True)[0]))
    many = run(jax.random.split(KEY, 2000))
    assert not np.array_equal(many[0], many[1])
    np.testing.assert_allclose(many.mean(0), y, atol=0.05)
