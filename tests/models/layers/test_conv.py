"""Shapes, and what neither PyTorch nor Flax is asked in their parity tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models.core import output_spec
from purezoo.models.layers import conv, conv_transpose

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("layer", "given", "expected"),
    [
        (conv(5, 3), (2, 7, 6, 3), (2, 7, 6, 5)),
        (conv(5, 3, stride=2), (2, 7, 6, 3), (2, 4, 3, 5)),
        (conv(5, 3, padding="VALID"), (2, 7, 6, 3), (2, 5, 4, 5)),
        (conv(5, (3, 1), padding=(2, 0)), (2, 7, 6, 3), (2, 9, 6, 5)),
        (conv(5, 3, padding=[(2, 0), (0, 0)], dilation=(2, 1)), (2, 7, 6, 3), (2, 5, 4, 5)),
        (conv(64, 11, stride=4, padding=2), (1, 224, 224, 3), (1, 55, 55, 64)),  # AlexNet's first
        (conv(5, 4, stride=2), (2, 9, 3), (2, 5, 5)),
        (conv(5, np.int64(3), stride=np.int64(2), padding=np.int64(1)), (2, 7, 6, 3), (2, 4, 3, 5)),
        (conv(5, 3, padding=np.array([2, 0])), (2, 7, 6, 3), (2, 9, 4, 5)),
        (conv_transpose(5, 4, stride=2, padding="SAME"), (2, 7, 6, 3), (2, 14, 12, 5)),
        (conv_transpose(5, 3, stride=(2, 3)), (2, 7, 6, 3), (2, 15, 18, 5)),
        (conv_transpose(5, 1, stride=3, padding="SAME"), (2, 7, 3), (2, 21, 5)),
        (conv_transpose(5, 3, stride=2, padding=[(1, 0), (1, 1)]), (2, 7, 6, 3), (2, 14, 11, 5)),
    ],
)
def test_output_shape(layer, given, expected):
    x = jax.ShapeDtypeStruct(given, jnp.float32)
    assert output_spec(layer, *jax.eval_shape(layer.init, KEY, x), x).shape == expected


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (2, 3)])
def test_transposed_convolution_is_the_gradient_of_convolution(kernel, stride):
    """<conv(x), y> = <x, conv_transpose(y)> with the kernel's channels exchanged."""
    random = np.random.default_rng(0)
    x, y = (jnp.asarray(random.normal(size=s), jnp.float32) for s in ((2, 4 * stride, 3), (2, 4, 5)))
    weights = jnp.asarray(random.normal(size=(kernel, 3, 5)), jnp.float32)
    forward = conv(5, kernel, stride=stride, bias=False)
    backward = conv_transpose(3, kernel, stride=stride, padding="SAME", bias=False)
    a = jnp.vdot(forward.apply({"kernel": weights}, {}, x)[0], y)
    b = jnp.vdot(x, backward.apply({"kernel": weights.swapaxes(1, 2)}, {}, y)[0])
    np.testing.assert_allclose(a, b, rtol=1e-4)


@pytest.mark.parametrize("layer", [conv(4, 3), conv_transpose(4, 2)])
def test_integer_images_are_convolved_as_numbers(layer):
    """The kernel is not cut to integers, whatever the image is."""
    x = jnp.arange(24, dtype=jnp.uint8).reshape(1, 8, 3)
    shapes, _ = jax.eval_shape(layer.init, KEY, x)
    params = jax.tree.map(lambda a: jnp.full(a.shape, 0.3), shapes)
    apply = jax.jit(lambda x: layer.apply(params, {}, x)[0])
    as_floats = apply(x.astype(jnp.float32))
    assert as_floats.max() > 1
    np.testing.assert_array_equal(apply(x), as_floats)


@pytest.mark.parametrize("layer", [conv(4, 3), conv_transpose(4, 2, stride=2)])
def test_forward_mode_gives_the_derivative_that_reverse_mode_gives(layer):
    """Outside training, where no gradient is written by hand."""
    x, along = jax.random.normal(KEY, (2, 1, 4, 4, 3))
    params, _ = layer.init(KEY, x)
    y, tangent = jax.jvp(lambda x: layer.apply(params, {}, x)[0], (x,), (along,))
    back = jax.random.normal(KEY, y.shape)
    _, pull = jax.vjp(lambda x: layer.apply(params, {}, x, train=True)[0], x)
    np.testing.assert_allclose(jnp.vdot(back, tangent), jnp.vdot(pull(back)[0], along), rtol=1e-4)


def test_kernel_starts_with_the_variance_of_its_window():
    kernel = conv(64, 3, groups=2).init(KEY, jax.ShapeDtypeStruct((1, 8, 8, 32), jnp.float32))[0]["kernel"]
    assert kernel.shape == (3, 3, 16, 64)
    np.testing.assert_allclose(np.var(kernel), 1 / (3 * 3 * 16), rtol=0.05)
