"""The U-Net: the paper's number of parameters, its output for images of any size that it can halve, what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import UNet, count
from purezoo.models.core import output_spec


def init(network, shape):
    return jax.eval_shape(network.build().init, jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32))


def test_number_of_parameters_of_the_paper():
    params, state = init(UNet(batch_norm=False), (1, 572 // 16 * 16, 64, 1))
    assert count(params) == 31_030_658
    assert state == {}
    _, state = init(UNet(), (1, 32, 32, 1))
    assert count(state) == 2 * sum(2 * 64 * 2**level * (2 if level < 4 else 1) for level in range(5))
    assert count(init(UNet(classes=19), (1, 32, 32, 3))[0]) == 31_036_546 + 2 * 9 * 64 + 17 * 65


@pytest.mark.parametrize(("depth", "size"), [(0, (5, 7)), (1, (6, 10)), (3, (24, 8))])
def test_output_has_the_size_of_the_input(depth, size):
    network, shape = UNet(classes=3, width=2, depth=depth), (2, *size, 1)
    spec = jax.ShapeDtypeStruct(shape, jnp.float32)
    assert output_spec(network.build(), *init(network, shape), spec).shape == (2, *size, 3)


def test_each_pixel_sees_detail_and_surroundings():
    """A pixel's output depends on its own value through the skips and on far ones through the levels."""
    model = UNet(classes=1, width=4, depth=1, batch_norm=False).build()

    @jax.jit
    def influence(x):
        params, state = model.init(jax.random.key(0), x)
        return jax.grad(lambda x: model.apply(params, state, x)[0][0, 8, 8, 0])(x)[0, ..., 0]

    reach = np.abs(influence(jax.random.normal(jax.random.key(1), (1, 16, 16, 1))))
    assert reach[8, 8] > 0
    assert reach[8, 2] > 0  # 6 pixels away: more than the 4 that the outermost level reaches


@pytest.mark.parametrize("shape", [(1, 20, 16, 1), (1, 16, 12, 1), (1, 16, 1)])
def test_images_that_cannot_be_halved_are_refused(shape):
    with pytest.raises(ValueError, match=r"depth 3 takes images \[B, H, W, C\] .* multiples of 8"):
        init(UNet(width=2, depth=3), shape)


def test_settings_that_cannot_be_are_refused():
    for network, message in (
        (UNet(depth=-1), "depth is at least 0, not -1"),
        (UNet(width=0), "at least 1 feature, not 0"),
        (UNet(dropout=1.0), r"\[0, 1\), not 1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            network.build()


def test_dropout_is_at_the_bottom_and_in_training_alone():
    model = UNet(width=4, depth=1, batch_norm=False, dropout=0.5).build()
    x = jax.random.normal(jax.random.key(1), (1, 8, 8, 1))
    params, state = jax.jit(model.init)(jax.random.key(0), x)
    once, again = jax.jit(jax.vmap(lambda key: model.apply(params, state, x, key=key, train=True)[0]))(
        jax.random.split(jax.random.key(2))
    )
    assert not np.allclose(once, again)
    with pytest.raises(ValueError, match="dropout is random in training"):
        jax.eval_shape(lambda: model.apply(params, state, x, train=True))
    jax.eval_shape(lambda: model.apply(params, state, x))
