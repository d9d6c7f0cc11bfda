"""Flows whose velocity is known: between normal distributions everything can be said by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from purezoo.models.flows import NO_CLASS, Noisy, guided, log_density, sample

MEAN = np.array([0.5, -1.0])
COVARIANCE = np.array([[0.6, 0.3], [0.3, 0.4]])
KEYS = jax.random.split(jax.random.key(0), 4)


def to_normal(covariance):
    """The field from noise to a normal distribution [B, 2]. x_t is normal too, so E[data - noise | x_t] is linear."""

    def field(x, t):
        spread = (1 - t) ** 2 * jnp.eye(2) + t**2 * covariance
        along = (t * covariance - (1 - t) * jnp.eye(2)) @ jnp.linalg.inv(spread)
        return MEAN + (x - t * MEAN) @ along.T

    return field


def by_one_factor(x):
    """The map of the flow to a multiple of the identity, 0.3^2: each noise goes straight to it."""
    return MEAN + 0.3 * x


def test_samplers_are_as_exact_as_their_order():
    field = to_normal(0.09 * np.eye(2))
    noise = jax.vmap(lambda key: jax.random.normal(jax.random.split(key)[0], (2,)))(KEYS)
    exact = by_one_factor(noise)
    for sampler, order in (("euler", 1), ("heun", 2)):
        errors = [np.abs(sample(field, KEYS, (4, 2), steps, sampler) - exact).max() for steps in (20, 40)]
        assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.2)
    assert errors[1] < 1e-3


def test_the_stochastic_sampler_draws_the_same_distribution():
    keys = jax.random.split(jax.random.key(1), 20_000)
    drawn = np.asarray(jax.jit(lambda keys: sample(to_normal(COVARIANCE), keys, (20_000, 2), 100, "stochastic"))(keys))
    np.testing.assert_allclose(drawn.mean(0), MEAN, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), COVARIANCE, atol=0.02)
    noise = jax.vmap(lambda key: jax.random.normal(jax.random.split(key)[0], (2,)))(keys)
    followed = np.corrcoef(noise[:, 0], drawn[:, 0])[0, 1]
    assert followed < 0.9  # the ODE's samples follow their noise


@pytest.mark.parametrize("sampler", ["heun", "stochastic"])
def test_an_example_depends_on_its_key_alone(sampler):
    whole = sample(to_normal(COVARIANCE), KEYS, (4, 2), 5, sampler)
    part = sample(to_normal(COVARIANCE), KEYS[1:3], (2, 2), 5, sampler)
    np.testing.assert_allclose(part, whole[1:3], rtol=1e-5)


def test_density_against_the_normal_distribution():
    x = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    exact = stats.multivariate_normal(MEAN, 0.09 * np.eye(2)).logpdf(x)
    found = log_density(to_normal(0.09 * np.eye(2)), jnp.asarray(x), jnp.ones((3, 2)), 100)  # a diagonal: any signs do
    np.testing.assert_allclose(found, exact, rtol=1e-3)

    exact = stats.multivariate_normal(MEAN, COVARIANCE).logpdf(x)
    signs = [np.broadcast_to(pair, (3, 2)).astype(np.float32) for pair in ((1, 1), (1, -1))]
    each = [log_density(to_normal(COVARIANCE), jnp.asarray(x), jnp.asarray(probe), 100) for probe in signs]
    assert np.abs(each[0] - exact).max() > 0.1
    np.testing.assert_allclose(np.mean(each, 0), exact, rtol=1e-3)  # the mean of all signs is the trace


@pytest.mark.parametrize(("dtype", "x64"), [("bfloat16", False), ("float32", True), ("float64", True)])
def test_density_of_data_of_any_precision(dtype, x64):
    with jax.enable_x64(x64):
        x, signs = jnp.asarray([[0.5, -1.5]], dtype), jnp.ones((1, 2), dtype)
        found = log_density(lambda x, t: (MEAN.astype(np.float32) - x).astype(jnp.float32), x, signs, 10)
        assert found.dtype == (jnp.float64 if dtype == "float64" else jnp.float32)
        whole = log_density(lambda x, t: MEAN - x, x.astype(jnp.float64 if x64 else jnp.float32), 1.0 * signs, 10)
    np.testing.assert_allclose(found, whole, rtol=1e-5)


def test_an_unknown_sampler_is_refused():
    with pytest.raises(ValueError, match="a sampler is heun, euler, stochastic, not 'hein'"):
        sample(to_normal(COVARIANCE), KEYS, (4, 2), 5, "hein")


def told(params, state, noisy, *, key=None, train=False):
    """A velocity that is the class, and 10 without one."""
    assert isinstance(noisy, Noisy)
    value = jnp.where(noisy.label == NO_CLASS, 10.0, noisy.label)
    return jnp.broadcast_to(value[:, None], noisy.x.shape), state


@pytest.mark.parametrize(("guidance", "velocity"), [(1, [2, 5]), (0, [10, 10]), (2, [-6, 0]), (0.5, [6, 7.5])])
def test_guidance_goes_from_no_class_beyond_the_class(guidance, velocity):
    field = guided(told, {}, {}, jnp.array([2, 5]), guidance)
    np.testing.assert_allclose(field(jnp.zeros((2, 1)), 0.5)[:, 0], velocity)
