from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import ViT

X = jnp.asarray(np.random.default_rng(0).normal(size=(8, 16, 16, 3)), jnp.float32)
SMALL = {"patch": 8, "width": 16, "depth": 2, "heads": 2, "classes": 5}


@pytest.mark.parametrize("rate", ["dropout", "stochastic_depth"])
def test_it_is_random_in_training_alone(rate):
    model = ViT(**SMALL, **{rate: 0.5}).build()
    params, _ = jax.jit(model.init)(jax.random.key(0), X)
    train = jax.jit(partial(model.apply, train=True))
    one, same, other = (train(params, {}, X, key=jax.random.key(seed))[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    jax.eval_shape(model.apply, params, {}, X)  # evaluation needs no key
    with pytest.raises(ValueError, match="is random in training"):
        jax.eval_shape(partial(model.apply, train=True), params, {}, X)


def test_parameters_have_names_to_guess():
    params, _ = jax.eval_shape(ViT(**SMALL).build().init, jax.random.key(0), X)
    assert params["block1"]["attention"]["query_key_value"]["kernel"].shape == (16, 48)
    assert params["block2"]["mlp"]["dense1"]["kernel"].shape == (16, 64)
    assert params["position_embedding1"]["embedding"].shape == (4 + 1, 16)
    assert params["head"]["kernel"].shape == (16, 5)


def test_images_of_another_size_are_refused():
    model = ViT(**SMALL).build()
    params, _ = jax.eval_shape(model.init, jax.random.key(0), X)
    with pytest.raises(ValueError, match="5 positions are learned, the input has 7"):
        jax.eval_shape(model.apply, params, {}, jnp.ones((1, 16, 24, 3)))
