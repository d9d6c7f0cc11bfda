"""Time: padding, states carried on, and the forms of the gradient, over cells of each kind."""

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models.layers import (
    Padded,
    bidirectional,
    elman,
    gru,
    last_step,
    lstm,
    mean_step,
    recurrent,
)

HIDDEN, STEPS = 24, 7  # units enough for three sequences to have their gradient by hand
CELLS = {
    "lstm": lstm(HIDDEN),
    "lstm with all": lstm(HIDDEN, peepholes=True, norm=True),
    "gru": gru(HIDDEN),
    "gru, reset before": gru(HIDDEN, reset="before"),
}
X = jnp.asarray(np.random.default_rng(0).normal(size=(3, STEPS, 2)), jnp.float32)
LENGTHS = jnp.array([7, 1, 4])
REAL = np.arange(STEPS) < LENGTHS[:, None]
COTANGENT = jnp.asarray(np.random.default_rng(1).normal(size=(3, STEPS, HIDDEN)), jnp.float32)


def parameters(layer, x=X):
    """Nothing is zero."""
    params, _ = jax.eval_shape(layer.init, jax.random.key(0), x)
    random = np.random.default_rng(2)
    return jax.tree.map(lambda p: jnp.float32(random.normal(size=p.shape) / 3), params)


def start(layer):
    return jax.jit(lambda key: layer.init(key, X)[1])(jax.random.key(0))


@cache
def compiled(layer, train=True):
    """(params, state, x or Padded, cotangent) -> (outputs, state after), gradients of params and x."""

    @jax.jit
    def run(params, state, x, cotangent):
        def forward(params, values):
            y, after = layer.apply(
                params, state, x._replace(x=values) if isinstance(x, Padded) else values, train=train
            )
            return (y.x if isinstance(y, Padded) else y), after

        y, pull, after = jax.vjp(forward, params, x.x if isinstance(x, Padded) else x, has_aux=True)
        return (y, after), pull(cotangent)

    return run


def assert_same(ours, others, tolerance=1e-5):
    assert jax.tree.structure(ours) == jax.tree.structure(others)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(others), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())


LAYERS = {(name, name == "lstm"): recurrent(cell, reverse=name == "lstm") for name, cell in CELLS.items()}


@cache
def plain(name, reverse):
    """By JAX's own differentiation."""
    layer = LAYERS[name, reverse]
    return compiled(layer, train=False)(parameters(layer), {}, Padded(X, LENGTHS), COTANGENT)


@pytest.mark.parametrize(("name", "reverse"), LAYERS)
def test_the_gradient_by_hand_is_that_of_jax(name, reverse):
    layer = LAYERS[name, reverse]
    run, params = compiled(layer), parameters(layer)
    assert "custom_vjp" in str(jax.make_jaxpr(lambda p: layer.apply(p, {}, X, train=True)[0])(params))
    assert_same(run(params, {}, Padded(X, LENGTHS), COTANGENT), plain(name, reverse))


@pytest.mark.parametrize(("name", "reverse"), [("lstm", True), ("gru, reset before", False)])
def test_chunks_change_neither_outputs_nor_gradients(name, reverse):
    layer = recurrent(CELLS[name], reverse=reverse, chunk=3)  # 7 steps are two chunks and a part of one
    run, params = compiled(layer), parameters(layer)
    assert_same(run(params, {}, Padded(X, LENGTHS), COTANGENT), plain(name, reverse))


def test_an_empty_batch_has_chunks_too():
    layer = recurrent(CELLS["lstm"], chunk=3)
    assert layer.apply(parameters(layer), {}, X[:0])[0].shape == (0, STEPS, HIDDEN)


def test_chunks_bound_the_memory_of_backpropagation():
    def memory(chunk):
        layer = recurrent(lstm(16), chunk=chunk)
        x = jax.ShapeDtypeStruct((2, 2000, 1), jnp.float32)
        params, _ = jax.eval_shape(layer.init, jax.random.key(0), x)
        gradient = jax.grad(lambda params, x: layer.apply(params, {}, x, train=True)[0][:, -1].sum())
        with jax.default_device(jax.devices("cpu")[0]):  # a GPU's libraries take 32 MiB of their own
            return jax.jit(gradient).lower(params, x).compile().memory_analysis().temp_size_in_bytes

    assert memory(50) < memory(0) / 5


def test_padding_changes_no_output_and_no_gradient():
    """Four steps alone, and the same four steps before padding of any kind, in both directions."""
    layer, n = bidirectional(CELLS["lstm"]), 4
    run, params = compiled(layer), parameters(layer)
    cotangent = jnp.concatenate([COTANGENT, COTANGENT[::-1]], -1)
    alone = run(params, {}, X[:, :n], cotangent[:, :n])
    for padding in (100.0, np.nan):
        x = Padded(X.at[:, n:].set(padding), jnp.full(3, n))
        (y, _), (gradients, x_gradient) = run(params, {}, x, cotangent)
        assert_same(((y[:, :n], {}), (gradients, x_gradient[:, :n])), alone)
        np.testing.assert_array_equal(y[:, n:], 0)
        np.testing.assert_array_equal(x_gradient[:, n:], 0)


def test_a_state_is_carried_over_windows_and_single_steps():
    whole, layer = recurrent(CELLS["lstm"]), recurrent(CELLS["lstm"], carry=True)
    params, zeros = parameters(layer), start(layer)
    apply = jax.jit(layer.apply)
    expected, _ = jax.jit(whole.apply)(params, {}, X)
    for cuts in ([3], range(1, STEPS)):
        state, windows = zeros, []
        for window in np.split(X, cuts, axis=1):
            y, state = apply(params, state, window)
            windows.append(y)
        assert_same(jnp.concatenate(windows, 1), expected, 1e-6)
        np.testing.assert_array_equal(state["h"], windows[-1][:, -1])


def test_a_cell_by_itself_steps_as_in_time():
    cell = CELLS["lstm"]
    params, state = parameters(recurrent(cell)), cell.start(3, jnp.float32)
    expected, _ = jax.jit(recurrent(cell).apply)(params, {}, X)
    step = jax.jit(cell.step)
    for t in range(STEPS):
        state, y = step(params, state, X[:, t])
        assert_same(y, expected[:, t], 1e-6)


def test_gradients_flow_through_windows_where_one_lets_them():
    layer = recurrent(CELLS["gru"], carry=True)
    params, zeros = parameters(layer), start(layer)

    @jax.jit
    def gradient(params):
        def loss(params):
            first, state = layer.apply(params, zeros, X[:, :3])
            second, _ = layer.apply(params, state, X[:, 3:])
            return jnp.sum(jnp.concatenate([first, second], 1) * COTANGENT)

        return jax.grad(loss)(params)

    padded, whole = Padded(X, jnp.full(3, STEPS)), LAYERS["gru", False]
    assert_same(gradient(params), compiled(whole, train=False)(params, {}, padded, COTANGENT)[1][0])


def test_the_state_after_padding_is_that_of_the_last_real_step():
    layer = recurrent(CELLS["lstm"], carry=True)
    params, zeros = parameters(layer), start(layer)
    y, state = jax.jit(layer.apply)(params, zeros, Padded(X, LENGTHS))
    np.testing.assert_array_equal(state["h"], last_step(y))
    _, of_one_step = jax.jit(layer.apply)(params, zeros, X[:, :1])
    assert_same(state["c"][1], of_one_step["c"][1], 1e-6)


def test_a_state_keeps_its_dtype_where_inputs_are_half_precision():
    layer = recurrent(lstm(4), carry=True)
    params, zeros = jax.eval_shape(layer.init, jax.random.key(0), X)
    half = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, jnp.bfloat16), (params, X))
    y, state = jax.eval_shape(layer.apply, half[0], zeros, half[1])
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("hidden", [4, 24])  # by JAX's differentiation and by hand
@pytest.mark.parametrize("half", ["params", "x"])
def test_gradients_have_the_dtype_of_what_they_are_of(hidden, half):
    layer = recurrent(lstm(hidden, peepholes=True))
    given = {"params": parameters(layer), "x": X}
    given[half] = jax.tree.map(lambda a: a.astype(jnp.bfloat16), given[half])
    gradients = jax.eval_shape(jax.grad(lambda of: layer.apply(of["params"], {}, of["x"], train=True)[0].sum()), given)
    assert jax.tree.map(lambda a: a.dtype, gradients) == jax.tree.map(lambda a: a.dtype, given)


@pytest.mark.parametrize("hidden", [4, 24])  # by JAX's differentiation and by hand
def test_variational_dropout_drops_the_same_units_at_all_steps(hidden):
    """With U = 1 and one input at the start, h doubles at each step, or is zero from the second step on."""
    layer = recurrent(elman(hidden, "relu"), dropout=0.5)
    params = {"kernel": jnp.ones((1, hidden)), "recurrent_kernel": jnp.eye(hidden), "bias": jnp.zeros(hidden)}
    x = jnp.zeros((3, 4, 1)).at[:, 0].set(1)

    @jax.jit
    def run(scale):
        """h, and its gradient by a factor that multiplies U."""

        def outputs(scale):
            return layer.apply(params | {"recurrent_kernel": scale * jnp.eye(hidden)}, {}, x, key=key, train=True)[0]

        key = jax.random.key(0)
        return outputs(scale), jax.grad(lambda scale: outputs(scale).sum())(scale)

    y, gradient = run(1.0)
    kept = np.array(y[:, 1] > 0)
    assert 0 < kept.mean() < 1
    doubled = 2.0 ** np.arange(4)
    np.testing.assert_array_equal(y, np.where(kept[:, None], doubled[:, None], np.eye(4)[0][:, None]))
    np.testing.assert_allclose(gradient, kept.sum() * (doubled * np.arange(4)).sum(), rtol=1e-6)
    np.testing.assert_array_equal(layer.apply(params, {}, x)[0], np.ones((3, 4, hidden)))
    with pytest.raises(ValueError, match="dropout is random in training"):
        layer.apply(params, {}, x, train=True)


def test_read_outs_know_the_lengths():
    y = jnp.asarray(np.random.default_rng(0).normal(size=(3, STEPS, 4)), jnp.float32)
    last = [y[b, n - 1] for b, n in enumerate(LENGTHS)]
    np.testing.assert_array_equal(last_step(Padded(y, LENGTHS)), last)
    np.testing.assert_array_equal(last_step(y), y[:, -1])
    both = last_step(Padded(y, LENGTHS), bidirectional=True)
    np.testing.assert_array_equal(both, [[*end[:2], *start[2:]] for end, start in zip(last, y[:, 0], strict=True)])
    means = [y[b, :n].mean(0) for b, n in enumerate(LENGTHS)]
    np.testing.assert_allclose(mean_step(Padded(y.at[1, 3].set(np.nan), LENGTHS)), means, rtol=1e-6)
    np.testing.assert_allclose(mean_step(y), y.mean(1), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint32])
def test_lengths_may_be_of_any_integers(dtype):
    y = jnp.arange(2 * 300.0).reshape(2, 300, 1)
    lengths = np.array([0, 100])
    for read in (last_step, mean_step):
        np.testing.assert_array_equal(read(Padded(y, lengths.astype(dtype))), read(Padded(y, lengths)))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (np.array([1, STEPS + 1, 2]), f"sequence 1 has {STEPS + 1} real steps, and its array has {STEPS}"),
        (np.array([1, 2, -1]), "sequence 2 has -1 real steps"),
        (np.array([1.0, 2.0, 3.0]), "an array [3] of integers, not float64 [3]"),
        ([1, 2, 3], "an array [3] of integers, not list [3]"),
        (np.array([1, 2]), "integers, not int64 [2]"),
        (np.array(3), "integers, not int64 []"),
    ],
)
def test_lengths_that_cannot_be_are_refused(lengths, message):
    layer = LAYERS["gru", False]
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.apply(parameters(layer), {}, Padded(X, lengths))


def test_lengths_are_known_within_jit_where_they_are_no_argument():
    layer = LAYERS["gru", False]
    for lengths in (np.array([1, STEPS + 1, 2]), jnp.array([1, STEPS + 1, 2])):
        apply = jax.jit(lambda params, x=X, n=lengths: layer.apply(params, {}, Padded(x, n))[0].x)
        with pytest.raises(ValueError, match=f"sequence 1 has {STEPS + 1} real steps"):
            apply(parameters(layer))


def test_under_jit_lengths_outside_of_the_array_count_as_its_ends():
    y = jnp.asarray(np.random.default_rng(0).normal(size=(3, STEPS, 4)), jnp.float32)
    for read in (last_step, mean_step):
        outside, inside = (np.array([STEPS + 3, -2, 2]), np.array([STEPS, 0, 2]))
        np.testing.assert_array_equal(*(jax.jit(read)(Padded(y, lengths)) for lengths in (outside, inside)))
