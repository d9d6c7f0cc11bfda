import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models.layers import dropout

KEY = jax.random.key(0)
X = jnp.linspace(1, 2, 40_000).reshape(200, 200)


def test_in_training_it_zeroes_the_rate_and_keeps_the_mean():
    y, state = dropout(0.3).apply({}, {}, X, key=KEY, train=True)
    kept = y != 0
    np.testing.assert_allclose(kept.mean(), 0.7, atol=0.01)
    np.testing.assert_allclose(y[kept], X[kept] / 0.7, rtol=1e-6)
    np.testing.assert_allclose(y.mean(), X.mean(), rtol=0.02)
    assert state == {}


def test_elsewhere_it_is_the_identity():
    assert dropout(0.3).apply({}, {}, X)[0] is X
    assert dropout(0.3).apply({}, {}, X, key=KEY)[0] is X
    assert dropout(0.0).apply({}, {}, X, train=True)[0] is X  # nothing random: no key needed


def test_it_follows_the_key_and_keeps_the_dtype():
    half = X[0].astype(jnp.bfloat16)
    one, same, other = (dropout(0.5).apply({}, {}, half, key=jax.random.key(seed), train=True)[0] for seed in (0, 0, 1))
    assert one.dtype == jnp.bfloat16
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("axis", [1, -2])
def test_values_along_a_shared_axis_are_zeroed_together(axis):
    y, _ = dropout(0.5, shared=(axis,)).apply({}, {}, jnp.ones((4, 5, 6)), key=KEY, train=True)
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:, :1], y.shape))
    assert 0 < (y[:, 0] != 0).mean() < 1
