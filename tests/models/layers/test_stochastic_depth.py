import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models.layers import stochastic_depth

KEY = jax.random.key(0)
X = jnp.linspace(1, 2, 40_000).reshape(10_000, 2, 2)


def test_in_training_it_drops_whole_examples_and_keeps_the_mean():
    y, state = stochastic_depth(0.3).apply({}, {}, X, key=KEY, train=True)
    kept = np.any(y != 0, (1, 2))
    np.testing.assert_allclose(kept.mean(), 0.7, atol=0.02)
    np.testing.assert_allclose(y[kept], X[kept] / 0.7, rtol=1e-6)
    np.testing.assert_allclose(y.mean(), X.mean(), rtol=0.02)
    assert state == {}


def test_elsewhere_it_is_the_identity():
    assert stochastic_depth(0.3).apply({}, {}, X)[0] is X
    assert stochastic_depth(0.3).apply({}, {}, X, key=KEY)[0] is X
    assert stochastic_depth(0.0).apply({}, {}, X, train=True)[0] is X  # nothing random: no key needed


def test_it_follows_the_key_keeps_the_dtype_and_needs_a_key():
    half, layer = X[:64].astype(jnp.bfloat16), stochastic_depth(0.5)
    one, same, other = (layer.apply({}, {}, half, key=jax.random.key(seed), train=True)[0] for seed in (0, 0, 1))
    assert one.dtype == jnp.bfloat16
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    with pytest.raises(ValueError, match="stochastic depth is random in training"):
        layer.apply({}, {}, half, train=True)
