"""Autoencoders: two halves of one network, for examples of any shape."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import Autoencoder, ConvAutoencoder


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (Autoencoder(latent=3, widths=(8, 5)), (7,)),
        (Autoencoder(latent=3, widths=()), (4, 6, 2)),
        (ConvAutoencoder(latent=3, width=4), (8, 12, 3)),
    ],
)
def test_encode_and_decode_are_the_halves_of_apply(network, shape):
    """Decoding needs the parameters and a code, and no shape."""
    model = network.build()
    x = jax.random.normal(jax.random.key(0), (2, *shape))
    params, state = jax.jit(model.init)(jax.random.key(1), x)
    (restored, code), after = jax.jit(partial(model.apply, train=True))(params, state, x)
    assert (restored.shape, code.shape, after) == (x.shape, (2, 3), state)
    np.testing.assert_array_equal(jax.jit(model.encode)(params, state, x), code)
    np.testing.assert_array_equal(jax.jit(model.decode)(params, state, code), restored)
    assert jax.eval_shape(model.decode, params, state, jnp.zeros((5, 3))).shape == (5, *shape)


def test_a_nonnegative_code_has_zeros():
    model = Autoencoder(latent=50, widths=(8,), nonnegative=True).build()
    x = jax.random.normal(jax.random.key(0), (4, 6))
    params, state = model.init(jax.random.key(1), x)
    code = model.encode(params, state, x)
    assert code.min() == 0
    assert 0.2 < (code > 0).mean() < 0.8


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (Autoencoder(latent=0), (6,), "a code has at least 1 number, not 0"),
        (ConvAutoencoder(latent=0), (8, 8, 1), "a code has at least 1 number, not 0"),
        (Autoencoder(widths=(0,)), (6,), "at least 1 feature"),
        (ConvAutoencoder(), (8, 10, 1), "whose height and width 4 divides"),
        (ConvAutoencoder(), (8,), "whose height and width 4 divides"),
    ],
)
def test_what_cannot_be_is_refused(network, shape, message):
    with pytest.raises(ValueError, match=message):
        network.build().init(jax.random.key(0), jax.ShapeDtypeStruct((2, *shape), jnp.float32))
