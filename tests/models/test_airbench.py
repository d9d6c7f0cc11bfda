"""What is special about airbench's layers: the first one whitens photographs, the others begin as the identity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import Airbench
from purezoo.models.core import output_spec


def start(shape, **settings):
    model = Airbench(**settings).build()
    return model, *jax.jit(model.init)(jax.random.key(0), jnp.zeros(shape))


def test_the_first_layer_has_orthogonal_components_and_their_negatives():
    _, params, _ = start((1, 16, 16, 3), widths=(8, 8))
    kernel = np.asarray(params["whitening"]["kernel"]).reshape(12, 24)
    np.testing.assert_array_equal(kernel[:, :12], -kernel[:, 12:])
    gram = kernel[:, :12].T @ kernel[:, :12]
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-4 * gram.max())
    np.testing.assert_allclose(kernel[:, 0], kernel[0, 0], rtol=1e-6)  # the first one is the mean of all
    assert np.isclose(1 / gram[0, 0], 10.0)  # which varies most


def test_grey_images_are_whitened_without_colours():
    model, params, state = start((2, 28, 28, 1), widths=(8, 8, 16))
    assert params["whitening"]["kernel"].shape == (2, 2, 1, 8)
    assert output_spec(model, params, state, jax.ShapeDtypeStruct((2, 28, 28, 1), jnp.float32)).shape == (2, 10)


def test_the_first_outputs_of_a_block_are_its_inputs():
    _, params, _ = start((1, 16, 16, 3), widths=(32, 8))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 5, 24)), jnp.float32)
    kernel = params["block1"]["conv1"]["kernel"]
    y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_allclose(y[..., :24], x, atol=1e-6)
    assert abs(kernel[..., 24:]).max() <= (9 * 24) ** -0.5


def test_another_depth_is_refused():
    with pytest.raises(ValueError, match="2 or 3 convolutions, not 4"):
        Airbench(depth=4).build()


def test_too_small_images_are_refused():
    with pytest.raises(ValueError, match="does not fit"):
        start((1, 8, 8, 3))
