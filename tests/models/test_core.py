"""The contract and its composition: names, shapes, keys, state and errors of chains."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import Model, chain, count, lift, named, residual, skip
from purezoo.models.layers import batch_norm, conv, dense, dropout, flatten, max_pool

KEY = jax.random.key(0)


def spec(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def shapes(model, *shape, dtype=jnp.float32):
    """(params, state) as shapes: nothing is computed."""
    return jax.eval_shape(model.init, KEY, spec(*shape, dtype=dtype))


def names(model, *shape):
    return sorted(shapes(model, *shape)[0])


def shift(by=1.0):
    """A layer of one's own, made the way the library makes its layers."""

    def init(key, spec):
        return {"offset": jnp.full(spec.shape[-1], by)}, {}

    def apply(params, state, x, *, key=None, train=False):
        return x + params["offset"], {}

    return Model(init, apply)


def steps():
    """A layer that counts its training steps."""

    def init(key, spec):
        return {}, {"steps": jnp.zeros((), jnp.int32)}

    def apply(params, state, x, *, key=None, train=False):
        return x, {"steps": state["steps"] + train}

    return Model(init, apply)


# Names.


def test_layers_are_named_after_their_factories_and_numbered():
    model = chain(conv(2, 3), jax.nn.relu, max_pool(2), conv(3, 3), flatten, dense(4), jnp.tanh, dense(2))
    params, state = shapes(model, 1, 4, 4, 1)
    assert sorted(params) == ["conv1", "conv2", "dense1", "dense2"]
    assert sorted(params["conv1"]) == ["bias", "kernel"]
    assert state == {}


def test_own_factories_name_their_layers_too():
    def block():
        def init(key, spec):
            return {"x": jnp.ones(1)}, {}

        def apply(params, state, x, *, key=None, train=False):
            return x, {}

        return Model(init, apply)

    lambdas = Model(lambda key, spec: ({"x": jnp.ones(1)}, {}), lambda params, state, x, **kwargs: (x, {}))
    partials = Model(partial(dense(2).init), dense(2).apply)
    model = chain(shift(), block(), shift(), lambdas, partials)
    assert names(model, 1, 2) == ["block1", "lambda1", "layer1", "shift1", "shift2"]


def test_a_name_of_ones_own_takes_no_number():
    model = chain(dense(2), named("head", dense(3)), dense(4), named("still", jnp.tanh))
    assert names(model, 1, 2) == ["dense1", "dense2", "head"]
    assert names(chain(named("outer", named("inner", dense(2)))), 1, 2) == ["outer"]


@pytest.mark.parametrize("first", [named("dense1", dense(2)), named("dense1", jnp.tanh)])
def test_two_layers_of_one_name_are_refused(first):
    with pytest.raises(ValueError, match="two layers are named 'dense1'"):
        chain(first, dense(1))


def test_named_layer_computes_the_same():
    x = jnp.arange(6.0).reshape(2, 3)
    layer = dense(4)
    params, state = layer.init(KEY, x)
    np.testing.assert_array_equal(named("a", layer).init(KEY, x)[0]["kernel"], params["kernel"])
    np.testing.assert_array_equal(named("a", layer).apply(params, state, x)[0], layer.apply(params, state, x)[0])


# Composition.


def test_chain_is_composition():
    x = jnp.arange(6.0).reshape(2, 3)
    model = chain(dense(4), jnp.tanh, dense(2))
    params, state = model.init(KEY, x)
    hidden = jnp.tanh(x @ params["dense1"]["kernel"] + params["dense1"]["bias"])
    expected = hidden @ params["dense2"]["kernel"] + params["dense2"]["bias"]
    np.testing.assert_allclose(model.apply(params, state, x)[0], expected, rtol=1e-6)


def test_a_chain_of_chains_is_a_chain():
    x = jnp.ones((2, 3))
    inner = chain(dense(4), jnp.tanh)
    params, state = chain(inner, named("head", chain(dense(2)))).init(KEY, x)
    assert jax.tree.map(jnp.shape, params) == {
        "chain1": {"dense1": {"kernel": (3, 4), "bias": (4,)}},
        "head": {"dense1": {"kernel": (4, 2), "bias": (2,)}},
    }
    y, _ = inner.apply(params["chain1"], {}, x)
    expected = y @ params["head"]["dense1"]["kernel"]
    whole = chain(inner, named("head", chain(dense(2))))
    np.testing.assert_allclose(whole.apply(params, state, x)[0], expected, rtol=1e-6)


def test_an_empty_chain_is_the_identity():
    x = jnp.ones(3)
    assert chain().init(KEY, x) == ({}, {})
    assert chain().apply({}, {}, x)[0] is x


@pytest.mark.parametrize("function", [jnp.sin, lambda x: jnp.sin(x), partial(jnp.multiply, 2.0), jax.nn.relu])
def test_functions_are_layers(function):
    x = jnp.linspace(-1, 1, 6).reshape(2, 3)
    for model in (lift(function), chain(function), chain(function, lambda x: x)):
        assert model.init(KEY, x) == ({}, {})
        y, state = model.apply({}, {}, x)
        np.testing.assert_array_equal(y, function(x))
        assert state == {}


@pytest.mark.parametrize("wrong", ["relu", None, 3, (dense(1).init, dense(1).apply)])
def test_what_is_no_layer_is_refused(wrong):
    with pytest.raises(TypeError, match="a layer is a Model or a function"):
        chain(dense(2), wrong)


def test_a_model_with_further_functions_is_a_layer():
    class Coder(NamedTuple):
        init: object
        apply: object
        encode: object

    coder = Coder(*dense(2), encode=jnp.tanh)
    assert names(chain(coder, dense(3)), 1, 2) == ["dense1", "dense2"]


def test_inputs_may_be_trees():
    model = chain(lambda pair: jnp.concatenate([pair["a"], pair["b"]], -1), dense(2))
    inputs = {"a": jnp.ones((4, 2)), "b": jnp.ones((4, 3))}
    params, state = model.init(KEY, jax.eval_shape(lambda: inputs))
    assert params["dense1"]["kernel"].shape == (5, 2)
    assert model.apply(params, state, inputs)[0].shape == (4, 2)


def test_skip_combines_the_input_with_the_output():
    x = jnp.arange(6.0).reshape(2, 3)
    model = chain(skip(dense(2), lambda x, y: jnp.concatenate([x, y], -1)), dense(1))
    assert names(model, 2, 3) == ["dense1", "skip1"]
    assert shapes(model, 2, 3)[0]["dense1"]["kernel"].shape == (5, 1)
    layer = skip(dense(2), lambda x, y: jnp.concatenate([x, y], -1))
    params, state = layer.init(KEY, x)
    y, _ = layer.apply(params, state, x)
    np.testing.assert_array_equal(y[:, :3], x)
    np.testing.assert_allclose(y[:, 3:], x @ params["kernel"], rtol=1e-6)


def test_residual_adds_body_and_shortcut():
    x = jnp.arange(6.0).reshape(2, 3)
    identity = residual(dense(3))
    params, _ = identity.init(KEY, x)
    assert list(params) == ["body"]
    np.testing.assert_allclose(identity.apply(params, {}, x)[0], x + x @ params["body"]["kernel"], rtol=1e-6)
    projected = residual(dense(2), shortcut=dense(2, bias=False))
    params, _ = projected.init(KEY, x)
    expected = x @ params["body"]["kernel"] + x @ params["shortcut"]["kernel"]
    np.testing.assert_allclose(projected.apply(params, {}, x)[0], expected, rtol=1e-5)
    assert not np.array_equal(params["body"]["kernel"], params["shortcut"]["kernel"])


def test_residual_of_two_shapes_is_refused():
    with pytest.raises(ValueError, match=r"residual1, given \(2, 3\).* body gives \(2, 4\), the shortcut \(2, 3\)"):
        shapes(chain(residual(dense(4))), 2, 3)
    with pytest.raises(ValueError, match="residual1"):  # broadcasting would hide it
        shapes(chain(residual(dense(1))), 2, 3)


# State, keys and dtypes.


def test_state_is_threaded_through_every_kind_of_composition():
    model = chain(steps(), residual(steps(), shortcut=chain(jnp.sin, steps())), skip(steps(), jnp.add), dense(1))
    params, state = model.init(KEY, spec(2, 3))
    assert list(params) == ["dense1"]
    expected = {
        "steps1": {"steps": 0},
        "residual1": {"body": {"steps": 0}, "shortcut": {"steps1": {"steps": 0}}},
        "skip1": {"steps": 0},
    }
    assert state == expected
    x = jnp.ones((2, 3))
    for _ in range(2):
        _, state = model.apply(params, state, x, train=True)
    _, state = model.apply(params, state, x)
    assert state == jax.tree.map(lambda _: 2, expected)


def test_every_random_layer_has_a_key_of_its_own():
    x = jnp.ones((4, 50))
    join = partial(skip, combine=lambda x, y: jnp.concatenate([x, y], -1))
    masks = chain(
        dropout(0.5),
        join(chain(lambda x: jnp.ones_like(x), dropout(0.5))),
        join(chain(lambda x: jnp.ones_like(x[:, :50]), residual(dropout(0.5), shortcut=lambda x: 0 * x))),
        join(chain(lambda x: jnp.ones_like(x[:, :50]), dropout(0.5))),
    )
    y, _ = masks.apply({}, {}, x, key=KEY, train=True)
    columns = jnp.split(y, 4, axis=1)
    assert all(not np.array_equal(a, b) for i, a in enumerate(columns) for b in columns[:i])
    np.testing.assert_array_equal(y, masks.apply({}, {}, x, key=KEY, train=True)[0])
    assert not np.array_equal(y, masks.apply({}, {}, x, key=jax.random.key(1), train=True)[0])


def test_init_depends_on_the_key_alone_and_differs_from_layer_to_layer():
    model = chain(dense(3), dense(3), residual(dense(3), shortcut=dense(3)))
    one, same, other = (model.init(jax.random.key(seed), spec(1, 3))[0] for seed in (0, 0, 1))
    kernels = [[leaf for leaf in jax.tree.leaves(p) if leaf.ndim == 2] for p in (one, same, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    different = [*kernels[0], *kernels[2]]
    assert len(different) == 8
    assert len({leaf.tobytes() for leaf in map(np.asarray, different)}) == 8


def test_init_takes_an_array_for_the_spec_and_runs_under_jit():
    model = chain(conv(2, 3), batch_norm(), flatten, dense(2))
    x = jnp.ones((2, 4, 4, 1))
    eager, jitted = model.init(KEY, x), jax.jit(model.init, static_argnums=1)(KEY, jax.eval_shape(lambda: x))
    assert jax.tree.structure(eager) == jax.tree.structure(jitted)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), eager, jitted)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.uint8, jnp.int32])
def test_parameters_are_float32_whatever_the_input_is(dtype):
    trees = shapes(chain(conv(2, 3), batch_norm(), flatten, dense(2)), 2, 4, 4, 1, dtype=dtype)
    assert {leaf.dtype for leaf in jax.tree.leaves(trees)} == {jnp.dtype("float32")}


def test_in_double_precision_everything_is_double():
    with jax.enable_x64(True):
        model = chain(conv(2, 3), batch_norm(), flatten, dense(2))
        trees = shapes(model, 2, 4, 4, 1, dtype=jnp.float64)
        out = jax.eval_shape(partial(model.apply, train=True), *trees, spec(2, 4, 4, 1, dtype=jnp.float64))
        assert {leaf.dtype for leaf in jax.tree.leaves((trees, out))} == {jnp.dtype("float64")}


def test_count():
    assert count({"a": jnp.ones((2, 3)), "b": {"c": spec(4)}}) == 10
    assert count({}) == 0


def test_a_network_too_large_to_exist_costs_nothing():
    side = 1024
    model = chain(flatten, dense(side * side * 3, bias=False))
    params, _ = jax.eval_shape(model.init, KEY, spec(1, side, side, 3))
    assert count(params) == (side * side * 3) ** 2 == 9_895_604_649_984
    out, _ = jax.eval_shape(model.apply, params, {}, spec(1, side, side, 3))
    assert out.shape == (1, side * side * 3)


# Errors.


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (chain(flatten, conv(4, 3)), spec(2, 8, 8, 3), r"conv1, given \(2, 192\): .*\[B, H, W, C\]"),
        (chain(conv(4, 5), max_pool(9)), spec(2, 8, 8, 3), r"max_pool1, given \(2, 8, 8, 4\): .*does not fit"),
        (chain(jnp.sin, chain(conv(4, 3), conv(4, 9, padding="VALID"))), spec(2, 8, 8, 3),
         r"chain1, given \(2, 8, 8, 3\): conv2, given \(2, 8, 8, 4\): .*does not fit"),
        (chain(lambda x: x @ jnp.ones((4, 4))), spec(2, 3), r"lambda1, given \(2, 3\)"),
        (chain(lambda tree: tree["a"] @ jnp.ones((4, 4))), {"a": spec(2, 3)}, r"lambda1, given \{'a': \(2, 3\)\}"),
        (chain(named("stem", conv(4, 3, groups=2))), spec(2, 8, 8, 3), r"stem, given \(2, 8, 8, 3\): 2 groups"),
    ],
)  # fmt: skip
def test_an_error_names_the_layer_and_what_it_was_given(model, given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        jax.eval_shape(model.init, KEY, given)


@pytest.mark.parametrize("function", [np.sin, lambda x: x if x.sum() > 0 else -x])
def test_a_function_that_jax_cannot_trace_is_named(function):
    with pytest.raises(TypeError, match=r"(sin|lambda)1, given \(2, 3\): "):
        shapes(chain(function), 2, 3)


def test_training_a_random_layer_without_a_key_is_refused():
    model = chain(dense(3), residual(chain(dropout(0.5))))
    params, state = model.init(KEY, spec(2, 3))
    with pytest.raises(ValueError, match=r"dropout is random in training: call apply\(\.\.\., key="):
        model.apply(params, state, jnp.ones((2, 3)), train=True)
    model.apply(params, state, jnp.ones((2, 3)))  # evaluation needs none
