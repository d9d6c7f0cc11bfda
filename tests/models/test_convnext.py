from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import ConvNeXt

X = jnp.asarray(np.random.default_rng(0).normal(size=(8, 8, 8, 3)), jnp.float32)
SMALL = {"classes": 5, "depths": (1, 1), "widths": (4, 8), "stem": "small"}


def test_stochastic_depth_is_random_in_training_alone():
    model = ConvNeXt(**SMALL, layer_scale=1.0, stochastic_depth=0.5).build()
    params, _ = jax.jit(model.init)(jax.random.key(0), X)
    train = jax.jit(partial(model.apply, train=True))
    one, same, other = (train(params, {}, X, key=jax.random.key(seed))[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    jax.eval_shape(model.apply, params, {}, X)  # evaluation needs no key
    with pytest.raises(ValueError, match="stochastic depth is random in training"):
        jax.eval_shape(partial(model.apply, train=True), params, {}, X)


def test_a_block_starts_near_the_identity():
    """Without its blocks the network gives nearly the same logits: each branch starts at a millionth."""
    model, without = ConvNeXt(**SMALL).build(), ConvNeXt(**SMALL | {"depths": (0, 0)}).build()
    params, _ = jax.jit(model.init)(jax.random.key(0), X)
    rest = {name: p for name, p in params.items() if not name.startswith("stage")}
    y, rest_y = jax.jit(lambda params, rest: (model.apply(params, {}, X)[0], without.apply(rest, {}, X)[0]))(
        params, rest
    )
    np.testing.assert_allclose(rest_y, y, atol=1e-5)


def test_parameters_have_names_to_guess():
    params, _ = jax.eval_shape(ConvNeXt(**SMALL).build().init, jax.random.key(0), X)
    assert list(params) == ["downsample1", "head", "layer_norm1", "stage1", "stage2", "stem"]
    assert params["stage2"]["block1"]["conv1"]["kernel"].shape == (7, 7, 1, 8)
    assert params["stem"]["conv1"]["kernel"].shape == (2, 2, 3, 4)
