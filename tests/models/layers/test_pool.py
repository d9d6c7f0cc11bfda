import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models.layers import avg_pool, global_avg_pool, global_max_pool, max_pool

SQUARE = jnp.arange(9.0).reshape(1, 3, 3, 1)


def values(layer, x):
    params, state = layer.init(None, x)
    assert (params, state) == ({}, {})
    return np.squeeze(layer.apply({}, {}, x)[0], (0, -1)).tolist()


def test_by_hand():
    assert values(max_pool(2), SQUARE) == [[4]]
    assert values(max_pool(2, 1), SQUARE) == [[4, 5], [7, 8]]
    assert values(max_pool((1, 3)), SQUARE) == [[2], [5], [8]]
    assert values(avg_pool(2, 1), SQUARE) == [[2, 3], [5, 6]]
    assert values(max_pool(2), SQUARE[:, 0]) == [1]
    assert values(avg_pool(2, 1), SQUARE[:, 0]) == [0.5, 1.5]


def test_padding_never_wins_and_is_left_out_of_the_mean():
    below = SQUARE - 100
    assert values(max_pool(2, padding="SAME"), below) == [[-96, -95], [-93, -92]]
    assert values(max_pool(3, 2, padding=1), below) == [[-96, -95], [-93, -92]]
    ones = jnp.ones((1, 3, 3, 1))
    assert values(avg_pool(2, padding=[(1, 0), (1, 0)]), ones) == [[1, 1], [1, 1]]
    assert values(avg_pool(2, padding=[(1, 0), (1, 0)], count_padding=True), ones) == [[0.25, 0.5], [0.5, 1]]


def test_a_gradient_shared_by_many_is_whole_in_low_precision():
    x = jnp.zeros((1, 32, 32, 1), jnp.bfloat16)
    gradient = jax.grad(lambda x: max_pool(32).apply({}, {}, x)[0].sum())(x)
    assert gradient.dtype == jnp.bfloat16
    assert gradient.sum() == 1


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 5, 4, 3)])
def test_global_pools_leave_batch_and_channels(shape):
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    flat = np.asarray(x).reshape(2, -1, 3)
    np.testing.assert_allclose(global_avg_pool(x), flat.mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(global_max_pool(x), flat.max(1))
