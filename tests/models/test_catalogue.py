"""The contract, asserted for every network of the catalogue; and every network is in the catalogue."""

import ast
import dataclasses
import importlib
import inspect
import itertools
import math
import pkgutil
import textwrap
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo import models
from purezoo.models import VGG, Airbench, AlexNet, AlexNetOneTower, ConvNeXt, Model, ResNet, UNet, ViT
from purezoo.models.catalogue import CATALOGUE, Entry
from purezoo.models.core import count, main_output, output_spec

BATCH = 4

# Large networks: their shapes are tested, and the rest of the contract on relatives with few classes, pixels or blocks.
LARGE = {name for name, entry in CATALOGUE.items() if entry.parameters > 11_000_000}
RELATIVES = {
    "alexnet, few pixels": Entry(AlexNet(classes=10), (64, 64, 3), (10,), 20_209_034),
    "alexnet_one_tower, few pixels": Entry(AlexNetOneTower(classes=10), (63, 63, 3), (10,), 20_344_650),
    "vgg11, few pixels": Entry(VGG(11, classes=10), (32, 32, 3), (10,), 28_144_010),
    "airbench, deep": Entry(Airbench(widths=(32, 48, 48), depth=3), (16, 16, 3), (10,), 144_024),
    "resnet18, few pixels": Entry(ResNet(18, classes=10, stem="small"), (16, 16, 3), (10,), 11_173_962),
    "convnext, few blocks": Entry(ConvNeXt(10, (1, 2), (16, 32), "small", layer_scale=0.1), (32, 32, 3), (10,), 25_818),
    "vit, few blocks": Entry(ViT(patch=8, width=64, depth=2, heads=4, classes=10), (32, 32, 3), (10,), 114_250),
    "unet, narrow": Entry(UNet(width=8, depth=2), (8, 12, 3), (8, 12, 2), 29_634),
}
# Kernels that start in one way, whatever the key: components of photographs, and the identity.
STARTS_AS_ITSELF = {"airbench": {"whitening", "block1.conv2", "block2.conv2", "block3.conv1", "block3.conv2"}}
STARTS_AS_ITSELF["airbench, deep"] = {
    "whitening",
    "block3.conv1",
    *(f"block{i}.residual.conv{j}" for i in (1, 2, 3) for j in (1, 2)),
}
NETWORKS = {name: entry for name, entry in CATALOGUE.items() if name not in LARGE} | RELATIVES
KINDS = {type(entry.network) for entry in CATALOGUE.values()}
every_network = pytest.mark.parametrize("name", NETWORKS)


@cache
def case(name):
    """The model, a batch, its parameters and its state."""
    model, shape, random = (
        main(NETWORKS[name].network.build()),
        (BATCH, *NETWORKS[name].input),
        np.random.default_rng(0),
    )
    if tokens := NETWORKS[name].tokens:
        x = jnp.asarray(random.integers(tokens, size=shape))
    else:
        x = jnp.asarray(random.normal(size=shape), jnp.float32)
    return model, x, *initialisation(name)(jax.random.key(0), x)


@cache
def initialisation(name):
    return jax.jit(NETWORKS[name].network.build().init)


@cache
def evaluation(name):
    return jax.jit(case(name)[0].apply)


@cache
def training(name):
    """(params, state, x, key) -> the state after, the output and the gradient of a random projection of it."""
    model = case(name)[0]

    @jax.jit
    def step(params, state, x, key):
        def loss(params):
            y, after = model.apply(params, state, x, key=key, train=True)
            return jnp.sum(y * jax.random.normal(jax.random.key(7), y.shape)), (y, after)

        gradients, (y, after) = jax.grad(loss, has_aux=True)(params)
        return after, y, gradients

    return step


@every_network
def test_output_has_the_shape_of_the_catalogue_and_is_finite(name):
    _, x, params, state = case(name)
    y, _ = evaluation(name)(params, state, x)
    assert y.shape == (BATCH, *NETWORKS[name].output)
    assert y.dtype == jnp.float32
    assert np.isfinite(y).all()


@every_network
def test_number_of_parameters_is_exact(name):
    assert count(case(name)[2]) == NETWORKS[name].parameters


@every_network
def test_an_empty_batch_gives_an_empty_output(name):
    network, shape, output, _, tokens = NETWORKS[name]
    model, x = main(network.build()), jax.ShapeDtypeStruct((0, *shape), jnp.int32 if tokens else jnp.float32)
    assert output_spec(model, *jax.eval_shape(model.init, jax.random.key(0), x), x).shape == (0, *output)


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if len(entry.input) == 3])
def test_an_image_without_its_batch_is_refused(name):
    """Layers take signals [B, T, C] as well: `of_images` refuses them. Networks of features do so by their weights."""
    entry = CATALOGUE[name]
    model, shapes = entry.network.build(), (entry.input, (2, *entry.input), (2, math.prod(entry.input)))
    image, batch, features = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
    init = partial(jax.eval_shape, model.init, jax.random.key(0))
    params, state = init(batch)
    try:
        init(features)
    except ValueError:
        refusal, message = ValueError, r"images \[B, H, W, C\]"
        with pytest.raises(refusal, match=message):
            init(image)
    else:
        refusal, message = TypeError, "contracting dimensions"
    with pytest.raises(refusal, match=message):
        jax.eval_shape(model.apply, params, state, image)


@every_network
def test_every_parameter_has_a_gradient(name):
    _, x, params, state = case(name)
    _, y, gradients = training(name)(params, state, x, jax.random.key(1))
    assert np.isfinite(y).all()
    for path, gradient in jax.tree.leaves_with_path(gradients):
        assert np.isfinite(gradient).all(), jax.tree_util.keystr(path)
        assert np.any(gradient != 0), jax.tree_util.keystr(path)


@every_network
def test_training_reaches_every_convolution(name):
    """Where `train` is not handed on, XLA's own gradients take many times as long on CPU."""
    assert "conv_general_dilated" not in operations(name)


@cache
def operations(name):
    """The primitives of a training pass."""
    model, x, params, state = case(name)
    traced = jax.make_jaxpr(partial(model.apply, train=True))(params, state, x, key=jax.random.key(1))
    return primitives(traced.jaxpr)


def primitives(jaxpr):
    """The names of all operations, but for those with a gradient of their own."""
    found = set()
    for equation in jaxpr.eqns:
        found.add(equation.primitive.name)
        if equation.primitive.name != "custom_vjp_call":
            inner = [getattr(p, "jaxpr", p) for p in jax.tree.leaves(equation.params, is_leaf=is_jaxpr) if is_jaxpr(p)]
            found |= set().union(*map(primitives, inner))
    return found


def is_jaxpr(value):
    return hasattr(getattr(value, "jaxpr", value), "eqns")


@every_network
def test_jit_equals_eager(name):
    model, x, params, state = case(name)
    np.testing.assert_allclose(
        evaluation(name)(params, state, x)[0], model.apply(params, state, x)[0], rtol=1e-5, atol=1e-5
    )


@every_network
def test_a_second_call_compiles_nothing(name):
    _, x, params, state = case(name)
    for n in range(2):
        state, _, _ = training(name)(params, state, x + n, jax.random.key(n))
        evaluation(name)(params, state, x + n)
    assert training(name)._cache_size() == 1
    assert evaluation(name)._cache_size() == 1


@every_network
def test_bfloat16_in_bfloat16_out(name):
    """Mixed precision as the training step casts it: input and parameters, not the state."""
    model, x, params, state = case(name)
    for train in (False, True):
        apply = partial(model.apply, key=jax.random.key(0), train=train)
        y, after = jax.eval_shape(apply, half(params), state, half(x))
        assert y.dtype == jnp.bfloat16
        assert shapes(after) == shapes(state)


@every_network
def test_state_keeps_its_structure(name):
    _, x, params, state = case(name)
    assert shapes(evaluation(name)(params, state, x)[1]) == shapes(state)
    after, _, _ = training(name)(params, state, x, jax.random.key(1))
    assert shapes(after) == shapes(state)


@every_network
def test_evaluation_leaves_the_state_and_needs_no_other_example(name):
    """An example's output is its own, whatever else the batch holds."""
    _, x, params, state = case(name)
    y, after = evaluation(name)(params, state, x)
    jax.tree.map(np.testing.assert_array_equal, after, state)
    others = x.at[1:].multiply(3)
    np.testing.assert_allclose(evaluation(name)(params, state, others)[0][0], y[0], rtol=1e-6, atol=1e-6)


@every_network
def test_params_and_state_are_nested_dicts_of_arrays(name):
    _, _, params, state = case(name)

    def check(node):
        if type(node) is not dict:
            assert isinstance(node, jax.Array)
            return
        for key, child in node.items():
            assert isinstance(key, str)
            check(child)

    check(params)
    check(state)


@every_network
def test_a_random_network_needs_a_key_in_training_and_no_other_does(name):
    model, x, params, state = case(name)
    apply = partial(model.apply, train=True)
    if "random_bits" in operations(name):
        with pytest.raises(ValueError, match="is random in training"):
            jax.eval_shape(apply, params, state, x)
    else:
        assert not getattr(NETWORKS[name].network, "dropout", 0)
        jax.eval_shape(apply, params, state, x)


@every_network
def test_initialisation_depends_on_the_key_alone(name):
    _, x, params, state = case(name)
    init = initialisation(name)
    jax.tree.map(np.testing.assert_array_equal, init(jax.random.key(0), x), (params, state))
    other = init(jax.random.key(1), x)[0]
    for (path, a), b in zip(jax.tree.leaves_with_path(other), jax.tree.leaves(params), strict=True):
        layer = ".".join(part.key for part in path[:-1])
        if a.ndim > 1 and layer not in STARTS_AS_ITSELF.get(name, ()):
            assert not np.any(b) or not np.array_equal(a, b), layer  # convex problems start at zero


@pytest.mark.parametrize("name", sorted(LARGE))
def test_shapes_of_large_networks(name):
    """Exact parameters, output and dtypes, without computing anything."""
    network, shape, output, parameters, _ = CATALOGUE[name]
    model, x = network.build(), jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    params, state = jax.eval_shape(model.init, jax.random.key(0), x)
    assert count(params) == parameters
    apply = partial(model.apply, key=jax.random.key(0), train=True)
    y, after = jax.eval_shape(apply, half(params), state, half(x))
    assert (y.shape, y.dtype) == ((2, *output), jnp.bfloat16)
    assert shapes(after) == shapes(state)


def test_every_network_is_exported_and_in_the_catalogue():
    """Looks in every module beside the catalogue: a network nobody lists is a network nobody tests."""
    found = set()
    for module in pkgutil.iter_modules(models.__path__, "purezoo.models."):
        for thing in vars(importlib.import_module(module.name)).values():
            if dataclasses.is_dataclass(thing) and isinstance(thing, type) and hasattr(thing, "build"):
                found.add(thing)
    assert found - KINDS == set(), "no line in models/catalogue.py"
    tried = {type(entry.network) for entry in NETWORKS.values()}
    assert KINDS - tried == set(), "large: a small relative in RELATIVES is tried in its place"
    assert {thing.__name__ for thing in KINDS} - set(models.__all__) == set(), "not in __all__ of models/__init__.py"
    assert [name for name in models.__all__ if not hasattr(models, name)] == []


@pytest.mark.parametrize("kind", sorted(KINDS, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_every_hyper_parameter_is_explained(kind):
    """By a docstring below it, which is its flag's help."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body
    for field, below in itertools.pairwise([*body, None]):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(below, ast.Expr), field.target.id
            assert isinstance(below.value, ast.Constant), field.target.id


def main(model):
    """The network as if it gave its main output alone."""

    def apply(*args, **rest):
        y, state = model.apply(*args, **rest)
        return main_output(y), state

    return Model(model.init, apply)


def half(tree):
    """Floating-point numbers as bfloat16."""

    def of(a):
        return jax.ShapeDtypeStruct(a.shape, jnp.bfloat16 if jnp.issubdtype(a.dtype, jnp.floating) else a.dtype)

    return jax.tree.map(of, tree)


def shapes(tree):
    """What a compiled loop needs to stay the same."""
    return jax.tree.map(lambda a: (a.shape, a.dtype), tree)
