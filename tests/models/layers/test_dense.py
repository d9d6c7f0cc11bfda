import jax
import jax.numpy as jnp
import numpy as np

from purezoo.models.layers import dense, flatten, he_normal


def test_kernel_starts_with_the_variance_of_its_initialiser_and_the_bias_at_zero():
    x = jax.ShapeDtypeStruct((1, 400), jnp.float32)
    for layer, variance in ((dense(300), 1 / 400), (dense(300, kernel_init=he_normal), 2 / 400)):
        params, state = jax.jit(layer.init, static_argnums=1)(jax.random.key(0), x)
        np.testing.assert_allclose(np.var(params["kernel"]), variance, rtol=0.03)
        assert not params["bias"].any()
        assert state == {}
    assert list(dense(3, bias=False).init(jax.random.key(0), jnp.ones((1, 2)))[0]) == ["kernel"]


def test_flatten_goes_row_by_row_with_the_channels_last():
    x = jnp.arange(24).reshape(2, 2, 3, 2)
    np.testing.assert_array_equal(flatten(x), np.arange(24).reshape(2, 12))
    assert flatten(jnp.ones((3, 5))).shape == (3, 5)
    assert flatten(jnp.ones(3)).shape == (3, 1)
