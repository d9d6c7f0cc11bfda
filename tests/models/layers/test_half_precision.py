"""Many numbers are added up in float32, also where a network computes in bfloat16, which stops counting at 256."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models.autoencoder import dense_onto
from purezoo.models.layers import conv, conv_transpose, dense, layer_scale
from purezoo.models.layers.activations import exact_gelu
from purezoo.models.layers.attention import self_attention
from purezoo.models.layers.cells import gru, lstm
from purezoo.models.layers.patches import class_token, patch_embedding, position_embedding
from purezoo.models.layers.unroll import unroll

LAYERS = {
    "dense": (dense(3), (1000, 4)),
    "dense_onto": (dense_onto((2, 2, 1)), (1000, 4)),
    "conv": (conv(3, 3), (4, 16, 16, 2)),
    "depthwise conv": (conv(2, 3, groups=2), (4, 16, 16, 2)),
    "conv_transpose": (conv_transpose(3, 2, stride=2), (4, 16, 16, 2)),
    "patch_embedding": (patch_embedding(3, 2), (4, 32, 32, 2)),
    "position_embedding": (position_embedding(), (1000, 2, 3)),
    "class_token": (class_token(), (1000, 2, 3)),
    "attention": (self_attention(2), (4, 256, 4)),
    "layer_scale": (layer_scale(1.0), (1000, 4)),
}


def half(tree):
    return jax.tree.map(lambda a: a.astype(jnp.bfloat16), tree)


def assert_near(found, exact, error: float):
    def near(path, found, exact):
        assert found.dtype == jnp.bfloat16, path
        distance = jnp.linalg.norm(found.astype(jnp.float32) - exact)
        assert distance <= error * jnp.linalg.norm(exact), f"{path}: {distance / jnp.linalg.norm(exact):.3f}"

    jax.tree_util.tree_map_with_path(near, found, exact)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_what_all_positions_share(name):
    layer, shape = LAYERS[name]
    x = half(jax.random.uniform(jax.random.key(1), shape, minval=0.5, maxval=1.5))
    params, state = layer.init(jax.random.key(0), x.astype(jnp.float32))
    gradient = jax.grad(lambda params, x: layer.apply(params, state, x, train=True)[0].astype(jnp.float32).sum())
    exact = gradient(jax.tree.map(lambda a: a.astype(jnp.float32), half(params)), x.astype(jnp.float32))
    if name == "attention":  # nothing depends on the bias of the keys, whose gradient is rounding alone
        exact["query_key_value"] = {}
        found = gradient(half(params), x) | {"query_key_value": {}}
    else:
        found = gradient(half(params), x)
    assert_near(found, exact, 0.01)


@pytest.mark.parametrize("chunk", [0, 32])
@pytest.mark.parametrize("train", [True, False])  # with the gradient written by hand, and with JAX's own
@pytest.mark.parametrize("cell", [gru(16), lstm(16, peepholes=True)])
def test_gradients_of_many_steps(cell, train, chunk):
    params = half(cell.init(jax.random.key(0), 3, jnp.float32))
    x = half(jax.random.normal(jax.random.key(1), (400, 2, 3)))

    def gradient(params, x):
        def loss(params):
            return (
                unroll(cell, params, cell.start(2, x.dtype), x, train=train, chunk=chunk)[0].astype(jnp.float32).sum()
            )

        return jax.jit(jax.grad(loss))(params)

    exact = gradient(*jax.tree.map(lambda a: a.astype(jnp.float32), (params, x)))
    assert_near(gradient(params, x), exact, 0.03)


def test_exact_gelu_keeps_its_tail():
    x = jnp.linspace(-3, 3, 61, dtype=jnp.bfloat16)
    exact = jax.nn.gelu(x.astype(jnp.float32), approximate=False)
    np.testing.assert_allclose(exact_gelu(x).astype(jnp.float32), exact, rtol=2**-8)
