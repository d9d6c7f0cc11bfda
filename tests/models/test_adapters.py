"""Flax modules as Models: they train with plain Optax, and compute what Flax computes with the same variables."""

from functools import cache

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from purezoo.models import Model, chain
from purezoo.models.adapters import from_linen, from_nnx
from purezoo.models.layers import dense

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(16, 4)), jnp.float32)
Y = jnp.asarray(np.random.default_rng(1).integers(0, 3, 16))


class LinenTrain(nn.Module):
    """Told by `train`; batch statistics and dropout."""

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(32)(x))
        x = nn.Dropout(0.2, deterministic=not train)(nn.relu(x))
        return nn.Dense(3)(x)


class LinenDeterministic(nn.Module):
    """Told by `deterministic`; dropout and no state."""

    @nn.compact
    def __call__(self, x, *, deterministic: bool = True):
        return nn.Dense(3)(nn.Dropout(0.2, deterministic=deterministic)(nn.relu(nn.Dense(32)(x))))


class NNXBlock(nnx.Module):
    def __init__(self, size: int, width: int, rngs: nnx.Rngs):
        self.linear = nnx.Linear(size, width, rngs=rngs)
        self.norm = nnx.BatchNorm(width, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)

    def __call__(self, x):
        return self.dropout(nnx.relu(self.norm(self.linear(x))))


class NNXBlocks(nnx.Module):
    """A list of blocks with batch statistics and dropout."""

    def __init__(self, rngs: nnx.Rngs):
        self.blocks = nnx.List([NNXBlock(4, 32, rngs), NNXBlock(32, 16, rngs)])
        self.head = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


MODELS = {
    "linen, train": from_linen(LinenTrain()),
    "linen, deterministic": from_linen(LinenDeterministic()),
    "nnx": from_nnx(NNXBlocks),
}
every_model = pytest.mark.parametrize("name", MODELS)


@cache
def initialisation(name):
    return jax.jit(MODELS[name].init)


@cache
def start(name):
    return initialisation(name)(KEY, X)


@cache
def trained(name):
    """(params, state, losses) after 40 steps of Adam, in one compiled step."""
    model, optimizer = MODELS[name], optax.adam(1e-2)

    @jax.jit
    def step(params, state, moments, key):
        def loss(params):
            logits, after = model.apply(params, state, X, key=key, train=True)
            return optax.softmax_cross_entropy_with_integer_labels(logits, Y).mean(), after

        (value, after), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(gradients, moments)
        return optax.apply_updates(params, updates), after, moments, value

    params, state = start(name)
    moments, losses = optimizer.init(params), []
    for n in range(40):
        params, state, moments, value = step(params, state, moments, jax.random.fold_in(KEY, n))
        losses.append(float(value))
    assert step._cache_size() == 1
    return params, state, losses


@every_model
def test_training_lowers_the_loss_and_moves_the_statistics(name):
    params, state, losses = trained(name)
    before, state_before = start(name)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert shapes(params) == shapes(before)
    assert shapes(state) == shapes(state_before)
    for a, b in zip(jax.tree.leaves((params, state)), jax.tree.leaves((before, state_before)), strict=True):
        assert not np.array_equal(a, b)
    assert bool(state) == (name != "linen, deterministic")


@every_model
def test_evaluation_is_deterministic_and_leaves_the_state(name):
    params, state, _ = trained(name)
    apply = jax.jit(MODELS[name].apply)
    y, after = apply(params, state, X)
    np.testing.assert_array_equal(apply(params, state, X, key=KEY)[0], y)
    jax.tree.map(np.testing.assert_array_equal, after, state)
    np.testing.assert_allclose(apply(params, state, X[:3])[0], y[:3], rtol=1e-5, atol=1e-5)  # moving statistics


@every_model
def test_dropout_follows_the_key(name):
    params, state, _ = trained(name)
    train = jax.jit(lambda key: MODELS[name].apply(params, state, X, key=key, train=True)[0])
    np.testing.assert_array_equal(train(KEY), train(KEY))
    assert not np.array_equal(train(KEY), train(jax.random.key(1)))


@every_model
def test_params_and_state_are_nested_dicts_of_arrays_with_string_names(name):
    def check(node):
        if type(node) is not dict:
            assert isinstance(node, jax.Array)
            return
        for key, child in node.items():
            assert isinstance(key, str)
            check(child)

    for tree in (*start(name), *trained(name)[:2]):
        check(tree)


@every_model
def test_init_follows_the_key_and_gives_its_shapes_for_nothing(name):
    assert shapes(jax.eval_shape(MODELS[name].init, KEY, X)) == shapes(start(name))
    again, other = (initialisation(name)(jax.random.key(seed), X) for seed in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, again, start(name))
    kernels = [[leaf for leaf in jax.tree.leaves(tree) if leaf.ndim == 2] for tree in (again, other)]
    assert all(not np.array_equal(a, b) for a, b in zip(*kernels, strict=True))


def test_names_are_those_of_flax():
    params, state = start("linen, train")
    assert sorted(params) == ["BatchNorm_0", "Dense_0", "Dense_1"]
    assert sorted(state["batch_stats"]["BatchNorm_0"]) == ["mean", "var"]
    params, state = start("nnx")
    assert sorted(params) == ["blocks", "head"]
    assert sorted(params["blocks"]) == ["0", "1"]
    assert sorted(params["blocks"]["1"]) == ["linear", "norm"]
    assert sorted(state["blocks"]["0"]["norm"]) == ["mean", "var"]


def test_linen_outputs_are_those_of_flax():
    module = LinenTrain()
    params, state, _ = trained("linen, train")
    y, _ = MODELS["linen, train"].apply(params, state, X)
    np.testing.assert_array_equal(y, module.apply({"params": params, **state}, X, train=False))
    y, after = MODELS["linen, train"].apply(params, state, X, key=KEY, train=True)
    expected, changed = module.apply(
        {"params": params, **state}, X, train=True, rngs={"dropout": KEY}, mutable=["batch_stats"]
    )
    np.testing.assert_array_equal(y, expected)
    jax.tree.map(np.testing.assert_array_equal, after, dict(changed))


def test_nnx_outputs_are_those_of_flax():
    params, state, _ = trained("nnx")
    module = NNXBlocks(nnx.Rngs(1))
    nnx.update(module, nnx_state(params), nnx_state(state))
    y, _ = MODELS["nnx"].apply(params, state, X)
    module.eval()
    np.testing.assert_allclose(y, module(X), rtol=1e-6)

    module.train()
    for block in module.blocks:  # without dropout the rest of training is the same as well
        block.dropout.rate = 0.0

    def without_dropout(rngs):
        made = NNXBlocks(rngs)
        for block in made.blocks:
            block.dropout.rate = 0.0
        return made

    y, after = from_nnx(without_dropout).apply(params, state, X, key=KEY, train=True)
    np.testing.assert_allclose(y, module(X), rtol=1e-6)
    moved = module.blocks[0].norm
    np.testing.assert_allclose(after["blocks"]["0"]["norm"]["mean"], moved.mean[...], rtol=1e-6)
    np.testing.assert_allclose(after["blocks"]["0"]["norm"]["var"], moved.var[...], rtol=1e-6)
    assert not np.array_equal(moved.mean[...], state["blocks"]["0"]["norm"]["mean"])


def test_a_missing_key_is_a_clear_error():
    params, state = start("nnx")
    with pytest.raises(ValueError, match="NNX module is random in training"):
        MODELS["nnx"].apply(params, state, X, train=True)
    params, state = start("linen, train")
    with pytest.raises(ValueError, match="LinenTrain is random in training"):
        MODELS["linen, train"].apply(params, state, X, train=True)


def test_modules_without_randomness_need_no_key():
    for model in (from_linen(nn.Dense(3)), from_nnx(lambda rngs: nnx.Linear(4, 3, rngs=rngs))):
        params, state = model.init(KEY, X)
        assert model.apply(params, state, X, train=True)[0].shape == (16, 3)


def test_flax_modules_are_layers():
    model = chain(from_linen(LinenTrain()), jax.nn.relu, from_nnx(lambda rngs: nnx.Linear(3, 5, rngs=rngs)), dense(2))
    assert isinstance(model, Model)
    params, state = jax.eval_shape(model.init, KEY, X)
    assert sorted(params) == ["dense1", "from_linen1", "from_nnx1"]
    assert sorted(state) == ["from_linen1"]
    assert jax.eval_shape(model.apply, params, state, X)[0].shape == (16, 2)


def test_partitioned_parameters_become_plain_arrays():
    kernel_init = nn.with_partitioning(nn.initializers.lecun_normal(), ("data", None))
    params, _ = from_linen(nn.Dense(3, kernel_init=kernel_init)).init(KEY, X)
    assert isinstance(params["kernel"], jax.Array)


def test_sown_values_stay_out_of_the_state():
    class Linen(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.sow("intermediates", "x", x)
            return nn.Dense(3)(x)

    class NNX(nnx.Linear):
        def __call__(self, x):
            self.seen = nnx.Intermediate(x)
            return super().__call__(x)

    for model in (from_linen(Linen()), from_nnx(lambda rngs: NNX(4, 3, rngs=rngs))):
        params, state = model.init(KEY, X)
        assert state == {}
        assert model.apply(params, state, X, train=True)[1] == {}


def nnx_state(tree):
    """Our dicts of arrays as NNX writes them: elements of a list under numbers."""
    return {int(k) if k.isdigit() else k: nnx_state(v) for k, v in tree.items()} if isinstance(tree, dict) else tree


def shapes(tree):
    return jax.tree.map(lambda a: (a.shape, a.dtype), tree)
