"""What the parity tests leave open: the paths through training and evaluation, and low precision."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models.layers import batch_norm, group_norm, layer_norm, local_response_norm
from purezoo.models.layers.norm import _in_one_pass, _in_two_passes, _moments

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(3, 2, size=(8, 5, 4)), jnp.float32)


def test_batch_norm_learns_the_statistics_that_evaluation_uses():
    layer = batch_norm(momentum=0.5)
    params, state = layer.init(KEY, X)
    for _ in range(30):
        y, state = layer.apply(params, state, X, train=True)
    np.testing.assert_allclose(state["mean"], X.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(state["var"], X.var((0, 1), ddof=1), rtol=1e-5)
    evaluated, after = layer.apply(params, state, X)
    np.testing.assert_allclose(evaluated, y * np.sqrt(39 / 40), rtol=1e-3, atol=1e-5)  # unbiased variance
    assert after is state


@pytest.mark.parametrize("layer", [batch_norm(), layer_norm(), group_norm(2)])
def test_normalised_values_have_mean_zero_and_variance_one(layer):
    params, state = layer.init(KEY, X)
    y, _ = layer.apply(params, state, X, train=True)
    assert jax.tree.map(jnp.shape, params) == {"scale": (4,), "bias": (4,)}
    if layer.init.__qualname__.startswith("batch"):
        groups = y.reshape(40, 4)
    elif layer.init.__qualname__.startswith("layer"):
        groups = y.reshape(40, 4).T
    else:
        groups = y.reshape(8, 5, 2, 2).transpose(1, 3, 0, 2).reshape(10, 16)
    np.testing.assert_allclose(groups.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(groups.var(0), 1, atol=1e-2)


@pytest.mark.parametrize("layer", [batch_norm(), layer_norm(), group_norm(2)])
def test_statistics_are_float32_when_the_input_is_not(layer):
    """Numbers around 100 leave bfloat16 with no digits for a variance: only float32 sums give the right one."""
    x = (X * 0.5 + 100).astype(jnp.bfloat16)
    params, state = layer.init(KEY, x)
    half = jax.tree.map(lambda p: p.astype(jnp.bfloat16), params)
    y, after = layer.apply(half, state, x, train=True)
    exact, _ = layer.apply(params, state, x.astype(jnp.float32), train=True)
    assert y.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(after))
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8, atol=2**-8)


@pytest.mark.parametrize("layer", [batch_norm(), layer_norm(), group_norm(2)])
def test_gradients_of_scale_and_bias_are_summed_in_float32(layer):
    """A sum in bfloat16 stops at 256 where it adds ones."""
    params, state = layer.init(KEY, X)
    params, x = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (params, X))
    gradient = jax.grad(lambda params: layer.apply(params, state, x, train=True)[0].astype(jnp.float32).sum())
    sums = re.findall(r":(\w+)\[[\d,]*\] = reduce_sum", str(jax.make_jaxpr(gradient)(params)))
    assert len(sums) >= 2
    assert set(sums) == {"f32"}


@pytest.mark.parametrize("make", [batch_norm, layer_norm, group_norm])
def test_scale_and_bias_are_optional(make):
    x = jnp.ones((2, 32))
    assert sorted(make(scale=False).init(KEY, x)[0]) == ["bias"]
    assert sorted(make(bias=False).init(KEY, x)[0]) == ["scale"]
    assert make(scale=False, bias=False).init(KEY, x)[0] == {}


def test_large_means_cost_no_digits():
    """The variance is a mean of squared differences, not a difference of means of squares."""
    layer = batch_norm()
    params, state = layer.init(KEY, X)
    y, _ = layer.apply(params, state, X + 1000, train=True)
    np.testing.assert_allclose(y, layer.apply(params, state, X, train=True)[0], atol=1e-3)


def test_local_response_norm_is_the_formula_of_the_paper():
    x = np.random.default_rng(0).normal(0, 30, size=(2, 3, 3, 8)).astype(np.float32)
    y, _ = local_response_norm().apply({}, {}, x)
    for i in range(8):
        total = np.square(x[..., max(0, i - 2) : min(8, i + 3)]).sum(-1)
        np.testing.assert_allclose(y[..., i], x[..., i] / (2 + 1e-4 * total) ** 0.75, rtol=1e-5)
    half, _ = local_response_norm().apply({}, {}, x.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(np.float32), y, rtol=2**-6)  # squares of bfloat16 summed in float32


def test_a_window_has_a_middle():
    with pytest.raises(ValueError, match="the window of local_response_norm is odd, not 4"):
        local_response_norm(4)


@pytest.mark.parametrize(("mean", "std"), [(0, 1), (1e4, 1), (-100, 0.1), (5, 0)])
def test_one_pass_over_the_values_is_as_exact_as_two(mean, std):
    """The mean of the squares less the square of the mean would have no digit left at 1e4."""
    x = jnp.asarray(np.random.default_rng(0).normal(mean, std, size=(64, 9, 3)), jnp.float32)
    exact = np.asarray(x, np.float64)
    for form in (_in_one_pass, _in_two_passes):
        found_mean, found_var = form(x, (0, 1))
        np.testing.assert_allclose(found_mean[0, 0], exact.mean((0, 1)), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found_var[0, 0], exact.var((0, 1)), rtol=1e-3)


def test_derivatives_of_the_moments_are_those_of_their_definition():
    x, direction = X[0], jnp.cos(X[0])

    def ours(x):
        mean, var = _moments(x, (0,), True)
        return jnp.sum(jnp.sin(mean) * jnp.exp(var / 10))

    def defined(x):
        return jnp.sum(jnp.sin(x.mean(0)) * jnp.exp(x.var(0) / 10))

    for f in (jax.grad, lambda f: jax.grad(lambda x: jnp.vdot(jax.grad(f)(x), direction))):  # first and second
        np.testing.assert_allclose(f(ours)(x), f(defined)(x), rtol=1e-4, atol=1e-5)
