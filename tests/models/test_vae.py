"""Variational autoencoders: codes are drawn in training and where a key says so, and the halves fit together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import VAE, ConvVAE

NETWORKS = [(VAE(latent=3, widths=(8, 5)), (7,)), (ConvVAE(latent=3, width=4), (8, 12, 3))]


@pytest.fixture(params=NETWORKS, ids=["dense", "convolutional"])
def made(request):
    """A model, an input and its parameters."""
    network, shape = request.param
    model, x = network.build(), jax.random.normal(jax.random.key(0), (4, *shape))
    return model, x, model.init(jax.random.key(1), x)[0]


def test_without_a_key_the_code_is_the_mean(made):
    model, x, params = made
    (output, mean, log_variance), state = model.apply(params, {}, x)
    assert (output.shape, mean.shape, log_variance.shape, state) == (x.shape, (4, 3), (4, 3), {})
    np.testing.assert_array_equal(model.encode(params, {}, x).mean, mean)
    np.testing.assert_array_equal(model.encode(params, {}, x).log_variance, log_variance)
    np.testing.assert_array_equal(model.decode(params, {}, mean), output)
    with pytest.raises(ValueError, match="is random in training"):
        model.apply(params, {}, x, train=True)


def test_a_key_for_each_example_is_its_own_whatever_the_batch(made):
    model, x, params = made
    keys = jax.random.split(jax.random.key(2), 4)
    whole = model.apply(params, {}, x, key=keys)[0].output
    part = model.apply(params, {}, x[1:3], key=keys[1:3])[0].output
    np.testing.assert_allclose(part, whole[1:3], rtol=1e-5, atol=1e-6)
    assert not np.allclose(whole, model.apply(params, {}, x)[0].output, atol=1e-3)


def test_keys_of_either_kind_draw_the_same(made):
    model, x, params = made
    for key in (jax.random.key(2), jax.random.split(jax.random.key(2), 4)):
        output, raw = (model.apply(params, {}, x, key=k)[0].output for k in (key, jax.random.key_data(key)))
        np.testing.assert_array_equal(output, raw)


def test_codes_are_drawn_from_the_posterior():
    """A linear decoder that gives the code back shows its mean and deviation."""
    model = VAE(latent=2, widths=()).build()
    x = jnp.ones((20_000, 2))
    params, _ = model.init(jax.random.key(0), x)
    params["decoder"]["output"]["kernel"] = jnp.eye(2)
    params["encoder"]["posterior"]["bias"] = jnp.array([1.0, -2.0, 0.5, -1.0])
    (code, mean, log_variance), _ = model.apply(params, {}, x, key=jax.random.key(3), train=True)
    np.testing.assert_allclose(code.mean(0), mean[0], atol=0.03)
    np.testing.assert_allclose(code.std(0), np.exp(log_variance[0] / 2), rtol=0.03)


def test_samples_are_decoded_from_the_prior(made):
    model, x, params = made
    sample = model.sample(params, {}, jax.random.key(4), 5)
    assert sample.shape == (5, *x.shape[1:])
    code = jax.random.normal(jax.random.key(4), (5, 3))
    np.testing.assert_array_equal(sample, model.decode(params, {}, code))


@pytest.mark.parametrize("network", [VAE(latent=0), ConvVAE(latent=0)])
def test_a_code_without_numbers_is_refused(network):
    with pytest.raises(ValueError, match="a code has at least 1 number, not 0"):
        network.build()
