"""What test_reference.py leaves open of convolutions, pools and normalisation, against Flax Linen's with the same
parameters: outputs, gradients, and the state that training leaves."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models.layers import avg_pool, batch_norm, conv, conv_transpose, dense, group_norm, layer_norm, max_pool

# Our layer, Flax's, and the shape of the input.
LAYERS = {
    "dense, no bias": (dense(5, bias=False), nn.Dense(5, use_bias=False), (2, 3, 4)),
    "conv, even kernel": (conv(5, (4, 2)), nn.Conv(5, (4, 2)), (2, 6, 5, 3)),
    "conv, stride": (conv(5, 3, stride=2), nn.Conv(5, (3, 3), strides=2), (2, 6, 5, 3)),
    "conv, stride above kernel": (conv(5, 1, stride=2), nn.Conv(5, (1, 1), strides=2), (2, 6, 5, 3)),
    "conv, uneven padding": (
        conv(5, 3, stride=2, padding=[(0, 1), (2, 1)]),
        nn.Conv(5, (3, 3), strides=2, padding=[(0, 1), (2, 1)]),
        (2, 6, 5, 3),
    ),
    "conv, dilation": (
        conv(5, 3, stride=2, dilation=(2, 1)),
        nn.Conv(5, (3, 3), strides=2, kernel_dilation=(2, 1)),
        (2, 6, 5, 3),
    ),
    "conv, depthwise": (conv(8, 3, groups=4), nn.Conv(8, (3, 3), feature_group_count=4), (2, 6, 5, 4)),
    "conv_transpose": (conv_transpose(4, 3), nn.ConvTranspose(4, (3, 3), padding="VALID"), (2, 4, 3, 3)),
    "conv_transpose, stride": (
        conv_transpose(4, (4, 2), stride=2, padding="SAME"),
        nn.ConvTranspose(4, (4, 2), strides=(2, 2)),
        (2, 4, 3, 3),
    ),
    "conv_transpose, odd kernel": (
        conv_transpose(4, 3, stride=2, padding="SAME", bias=False),
        nn.ConvTranspose(4, (3, 3), strides=(2, 2), use_bias=False),
        (2, 4, 3, 3),
    ),
    "conv_transpose, stride above kernel": (
        conv_transpose(4, 1, stride=2, padding="SAME"),
        nn.ConvTranspose(4, (1, 1), strides=(2, 2)),
        (2, 4, 3, 3),
    ),
    "conv_transpose, 1-D": (
        conv_transpose(4, 5, stride=2, padding="SAME"),
        nn.ConvTranspose(4, (5,), strides=(2,)),
        (2, 5, 3),
    ),
    "batch_norm": (
        batch_norm(momentum=0.8, epsilon=1e-3),
        nn.BatchNorm(use_running_average=False, momentum=0.8, epsilon=1e-3, use_fast_variance=False),
        (4, 3, 2, 3),
    ),
    "batch_norm, evaluation": (batch_norm(), nn.BatchNorm(use_running_average=True), (4, 3, 2, 3)),
    "batch_norm, no scale": (
        batch_norm(scale=False),
        nn.BatchNorm(use_running_average=False, momentum=0.9, use_scale=False, use_fast_variance=False),
        (6, 3),
    ),
    "layer_norm": (layer_norm(), nn.LayerNorm(epsilon=1e-5, use_fast_variance=False), (3, 2, 6)),
    "layer_norm, no bias": (
        layer_norm(epsilon=1e-6, bias=False),
        nn.LayerNorm(use_bias=False, use_fast_variance=False),
        (3, 6),
    ),
    "group_norm": (group_norm(3), nn.GroupNorm(3, epsilon=1e-5, use_fast_variance=False), (2, 4, 3, 6)),
    "group_norm, usual 32 groups": (group_norm(), nn.GroupNorm(epsilon=1e-5, use_fast_variance=False), (2, 3, 64)),
}

POOLS = {
    "max, SAME": (max_pool(2, padding="SAME"), lambda x: nn.max_pool(x, (2, 2), (2, 2), "SAME"), (2, 7, 5, 3)),
    "max, overlapping": (
        max_pool(3, 2, padding="SAME"),
        lambda x: nn.max_pool(x, (3, 3), (2, 2), "SAME"),
        (2, 7, 6, 3),
    ),
    "max, 1-D": (max_pool(2, 1), lambda x: nn.max_pool(x, (2,), (1,)), (2, 7, 3)),
    "avg": (avg_pool((2, 3)), lambda x: nn.avg_pool(x, (2, 3), (2, 3)), (2, 7, 6, 3)),
    "avg, SAME": (
        avg_pool(3, 2, padding="SAME"),
        lambda x: nn.avg_pool(x, (3, 3), (2, 2), "SAME", count_include_pad=False),
        (2, 7, 6, 3),
    ),
    "avg, padding counted": (
        avg_pool(2, padding=[(1, 0), (0, 1)], count_padding=True),
        lambda x: nn.avg_pool(x, (2, 2), (2, 2), [(1, 0), (0, 1)]),
        (2, 7, 5, 3),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_equals_flax(name):
    ours, module, shape = LAYERS[name]
    x, train = normal(shape), "evaluation" not in name
    like = jax.eval_shape(ours.init, jax.random.key(0), x)
    params, state = jax.tree.map(lambda a: 1.5 + 0.3 * normal(a.shape, seed=1), like)
    params = jax.tree.map(lambda p: p - 1.5 if p.ndim > 1 else p, params)

    def flax(params, x):
        if isinstance(module, nn.ConvTranspose):  # Flax turns the kernel around
            window = tuple(range(x.ndim - 2))
            params = params | {"kernel": jnp.flip(params["kernel"], window)}
        variables = {"params": params, "batch_stats": state}
        y, changed = module.apply(variables, x, mutable=["batch_stats"])
        return y, changed["batch_stats"]

    @jax.jit
    def run(params, x, cotangent):
        y, pull, after = jax.vjp(lambda p, x: ours.apply(p, state, x, train=train), params, x, has_aux=True)
        flax_y, flax_pull, flax_after = jax.vjp(flax, params, x, has_aux=True)
        return (y, pull(cotangent), after), (flax_y, flax_pull(cotangent), flax_after)

    y = jax.eval_shape(ours.apply, params, state, x)[0]
    mine, theirs = run(params, x, normal(y.shape, seed=2))
    if state and train:  # Flax's moving average takes the biased variance
        n, momentum = x.size // x.shape[-1], module.momentum
        theirs[2]["var"] = momentum * state["var"] + (theirs[2]["var"] - momentum * state["var"]) * n / (n - 1)
    assert_close(mine, theirs)


@pytest.mark.parametrize("name", POOLS)
def test_pool_equals_flax(name):
    ours, theirs, shape = POOLS[name]

    @jax.jit
    def run(x):
        return [
            (y, pull(jnp.cos(y)))  # any cotangent
            for y, pull in (jax.vjp(lambda x: ours.apply({}, {}, x)[0], x), jax.vjp(theirs, x))
        ]

    assert_close(*run(normal(shape)))


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_close(ours, theirs):
    """Relative to each number, and for sums that nearly cancel to the largest number of its array."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, a), b in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        where = jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max(), err_msg=where)
