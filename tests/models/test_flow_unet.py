"""The U-Net of flows: time and class change what it gives, and images stand for themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import FlowUNet, Noisy

SMALL = FlowUNet(classes=3, width=8)
IMAGES = jax.random.normal(jax.random.key(0), (2, 4, 8, 1))


@pytest.fixture(scope="module")
def velocity():
    model = SMALL.build()
    params, _ = model.init(jax.random.key(1), IMAGES)
    return jax.jit(lambda x: model.apply(params, {}, x)[0])


def at(time, label):
    return Noisy(IMAGES, jnp.full(2, time), jnp.full(2, label))


def test_time_and_class_are_told(velocity):
    given = [velocity(at(time, label)) for time, label in ((0.5, 0), (0.5, 1), (0.5, -1), (0.501, 0))]
    assert given[0].shape == IMAGES.shape
    for i, one in enumerate(given):
        assert all(np.abs(one - other).max() > 1e-3 for other in given[:i])


def test_each_example_has_a_time_and_a_class_of_its_own(velocity):
    both = velocity(Noisy(IMAGES, jnp.array([0.2, 0.7]), jnp.array([2, -1])))
    np.testing.assert_allclose(both[0], velocity(at(0.2, 2))[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(both[1], velocity(at(0.7, -1))[1], rtol=1e-4, atol=1e-5)


def test_an_array_is_data_without_a_class(velocity):
    np.testing.assert_allclose(velocity(IMAGES), velocity(at(1.0, -1)), rtol=1e-5, atol=1e-6)


def test_without_classes_labels_are_ignored():
    model = FlowUNet(classes=0, width=8, depth=0, heads=0).build()
    params, _ = model.init(jax.random.key(1), IMAGES)
    assert "label" not in params["condition"]
    np.testing.assert_array_equal(model.apply(params, {}, at(0.5, 1))[0], model.apply(params, {}, at(0.5, 2))[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 12}, "width is a multiple of 8, not 12"),
        ({"patch": 0}, "blocks and patch at least 1"),
        ({"classes": -1}, "classes, depth and heads are at least 0"),
        ({"dropout": 1.0}, "a dropout rate lies in"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FlowUNet(**settings).build()


def test_images_that_cannot_be_halved_are_refused():
    model = FlowUNet(patch=2, depth=2).build()
    with pytest.raises(
        ValueError, match=r"FlowUNet takes .* height and width are multiples of 8, not \(1, 28, 28, 1\)"
    ):
        jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32))
