"""Integers are the numbers that they are: images of bytes need no cast."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import RNN, FlowUNet
from purezoo.models.core import as_model
from purezoo.models.layers import (
    avg_pool,
    batch_norm,
    class_token,
    dropout,
    global_avg_pool,
    group_norm,
    layer_norm,
    local_response_norm,
    max_pool,
    mean_step,
    stochastic_depth,
)

BYTES = jnp.asarray(np.random.default_rng(0).integers(256, size=(4, 4, 6, 8), dtype=np.uint8))
LAYERS = {
    "batch_norm": batch_norm(),
    "layer_norm": layer_norm(),
    "group_norm": group_norm(2),
    "local_response_norm": local_response_norm(),
    "dropout": dropout(0.5),
    "stochastic_depth": stochastic_depth(0.5),
    "max_pool": max_pool(2),
    "max_pool, overlapping": max_pool(3, 2),
    "avg_pool": avg_pool(2),
    "avg_pool, padding counted": avg_pool(2, padding=1, count_padding=True),
    "global_avg_pool": as_model(global_avg_pool),
    "variational dropout": RNN(3, "elman_relu", 4, variational=True, dropout=0.5).build(),
    "flow_unet": FlowUNet(width=8).build(),
}
OF_SEQUENCES = {"class_token": class_token(), "mean_step": as_model(mean_step)}


@pytest.mark.parametrize("name", [*LAYERS, *OF_SEQUENCES])
def test_integers_are_their_numbers(name):
    layer, x = (LAYERS | OF_SEQUENCES)[name], BYTES[:, 0] if name in OF_SEQUENCES else BYTES
    params, state = layer.init(jax.random.key(0), x)
    params = jax.tree.map(lambda p: p + 0.3, params)  # a token that begins at zero would be whole
    for train in (False, True):
        y, expected = (
            layer.apply(params, state, given, key=jax.random.key(1), train=train)[0]
            for given in (x, x.astype(jnp.float32))
        )
        assert y.dtype == jnp.float32
        np.testing.assert_array_equal(y, expected)
