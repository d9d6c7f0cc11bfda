"""The forms chosen for CPU agree with XLA's convolutions and pools, and no convolution of XLA is left in a loop."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from purezoo.models.layers.geometry import geometry
from purezoo.models.layers.lowering import convolve, convolve_transpose
from purezoo.models.layers.windows import _max_gpu, max_of_windows, mean_of_windows

NONE, SAME3 = ((0, 0), (0, 0)), ((1, 1), (1, 1))

# size, channels, window, outputs, stride, padding, dilation, groups
SHAPES = {
    "narrow": ((9, 11), 2, (3, 5), 3, (1, 1), ((1, 1), (2, 2)), (1, 1), 1),
    "narrow, stride 2": ((9, 11), 1, (3, 3), 6, (2, 2), ((0, 1), (2, 0)), (1, 1), 1),
    "stride 1": ((6, 7), 24, (3, 3), 20, (1, 1), SAME3, (1, 1), 1),
    "many outputs": ((6, 7), 1, (3, 3), 32, (1, 1), SAME3, (1, 1), 1),
    "stride 2": ((7, 9), 24, (3, 3), 5, (2, 2), SAME3, (1, 1), 1),
    "stride 4": ((19, 23), 7, (11, 11), 8, (4, 4), NONE, (1, 1), 1),
    "unequal strides": ((8, 9), 20, (3, 2), 4, (1, 3), NONE, (1, 1), 1),
    "stride above window": ((9, 7), 20, (2, 1), 4, (4, 3), NONE, (1, 1), 1),
    "dilation": ((9, 8), 20, (3, 3), 4, (1, 1), ((2, 2), (2, 2)), (2, 2), 1),
    "dilation and stride": ((11, 9), 20, (3, 2), 4, (2, 2), NONE, (2, 3), 1),
    "asymmetric padding": ((5, 6), 24, (2, 4), 4, (1, 1), ((0, 1), (3, 1)), (1, 1), 1),
    "padding above window": ((4, 5), 28, (3, 2), 4, (2, 1), ((5, 4), (3, 4)), (1, 1), 1),
    "1x1": ((5, 4), 6, (1, 1), 7, (1, 1), NONE, (1, 1), 1),
    "1x1, stride 2": ((5, 4), 6, (1, 1), 7, (2, 2), NONE, (1, 1), 1),
    "groups": ((6, 5), 6, (3, 3), 9, (1, 1), SAME3, (1, 1), 3),
    "groups, stride 2": ((6, 7), 6, (3, 3), 4, (2, 2), SAME3, (1, 1), 2),
    "depthwise": ((6, 5), 5, (3, 3), 5, (1, 1), SAME3, (1, 1), 5),
    "depthwise, stride 2": ((6, 5), 5, (3, 3), 5, (2, 2), SAME3, (1, 1), 5),
    "depthwise, multiplied": ((6, 5), 3, (3, 3), 6, (1, 1), SAME3, (1, 1), 3),
    "sequence": ((1, 12), 20, (1, 4), 6, (1, 2), ((0, 0), (3, 0)), (1, 1), 1),
}


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def xla_convolve(x, kernel, stride, padding, dilation, groups):
    return lax.conv_general_dilated(
        x,
        kernel,
        stride,
        padding,
        rhs_dilation=dilation,
        feature_group_count=groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def value_and_gradients(function, *arguments):
    @jax.jit
    def run(*arguments):
        y, pull = jax.vjp(function, *arguments)
        return y, pull(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape).astype(y.dtype))

    return run(*arguments)


def assert_close(ours, theirs, tolerance=2e-5):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(jnp.abs(b).max() + 1))


@pytest.mark.parametrize("name", SHAPES)
def test_convolution_and_its_gradients_agree_with_xla(name):
    size, c, window, o, stride, padding, dilation, groups = SHAPES[name]
    x, kernel = normal(3, *size, c), normal(*window, c // groups, o, seed=1)
    ours = partial(convolve, stride=stride, padding=padding, dilation=dilation, groups=groups)
    theirs = partial(xla_convolve, stride=stride, padding=padding, dilation=dilation, groups=groups)
    assert_close(value_and_gradients(ours, x, kernel), value_and_gradients(theirs, x, kernel))


@pytest.mark.parametrize(
    ("stride", "padding"), [((1, 1), NONE), ((2, 2), ((1, 1), (2, 0))), ((3, 1), ((0, 1), (1, 1)))]
)
def test_transposed_convolution_agrees_with_its_sum(stride, padding):
    x, kernel = normal(2, 4, 5, 3), normal(3, 4, 3, 6, seed=1)

    def scatter(x, kernel):
        (h, w), (kh, kw) = x.shape[1:3], kernel.shape[:2]
        y = jnp.zeros((2, (h - 1) * stride[0] + kh, (w - 1) * stride[1] + kw, 6))
        for i in range(h):
            for j in range(w):
                place = y.at[:, i * stride[0] : i * stride[0] + kh, j * stride[1] : j * stride[1] + kw]
                y = place.add(jnp.einsum("bc,ijco->bijo", x[:, i, j], kernel))
        (top, bottom), (left, right) = padding
        return y[:, top : y.shape[1] - bottom, left : y.shape[2] - right]

    ours = partial(convolve_transpose, stride=stride, padding=padding)
    assert_close(value_and_gradients(ours, x, kernel), value_and_gradients(scatter, x, kernel))


@pytest.mark.parametrize("name", ["narrow", "stride 2", "depthwise"])
def test_second_derivatives_agree_with_xla(name):
    size, c, window, o, stride, padding, dilation, groups = SHAPES[name]
    x, kernel = normal(2, *size, c), normal(*window, c // groups, o, seed=1)

    def slope(function, x, kernel):  # a gradient penalty
        gradients = jax.grad(lambda x, k: jnp.sum(jnp.sin(function(x, k))), (0, 1))(x, kernel)
        return sum(jnp.sum(g**2) for g in gradients)

    ours, theirs = (
        jax.jit(
            jax.grad(
                partial(slope, partial(f, stride=stride, padding=padding, dilation=dilation, groups=groups)), (0, 1)
            )
        )
        for f in (convolve, xla_convolve)
    )
    assert_close(ours(x, kernel), theirs(x, kernel), 2e-4)


@pytest.mark.parametrize("name", ["narrow", "stride 1", "stride 2", "groups"])
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_gradients_batch_over_inputs_and_kernels(name, axes):
    size, c, window, o, stride, padding, dilation, groups = SHAPES[name]
    x, kernel = normal(2, 2, *size, c), normal(2, *window, c // groups, o, seed=1)
    x, kernel = (a if axis == 0 else a[0] for a, axis in zip((x, kernel), axes, strict=True))

    def gradients(x, kernel):
        f = partial(convolve, stride=stride, padding=padding, dilation=dilation, groups=groups)
        return jax.grad(lambda x, k: jnp.sum(jnp.sin(f(x, k))), (0, 1))(x, kernel)

    batched = jax.jit(jax.vmap(gradients, axes))(x, kernel)
    single = [
        gradients(*(a if axis is None else a[n] for a, axis in zip((x, kernel), axes, strict=True))) for n in (0, 1)
    ]
    assert_close(batched, jax.tree.map(lambda *a: jnp.stack(a), *single))


@jax.jit
def train(x, kernel, steps):
    """`steps` steps of gradient descent on a small network in a while loop."""

    @jax.checkpoint
    def loss(kernel):
        return jnp.mean(max_of_windows(convolve(x, kernel, padding=SAME3)) ** 2)

    return lax.fori_loop(0, steps, lambda _, k: k - 0.1 * jax.grad(loss)(k), kernel)


@pytest.mark.parametrize("channels", [1, 40])
def test_the_gradient_for_the_kernel_is_no_xla_convolution_on_cpu(channels):
    """In a loop XLA's takes about a hundred times as long as the forward convolution, which is as fast as outside."""
    x, kernel = normal(2, 8, 8, channels), normal(3, 3, channels, channels, seed=1)
    with jax.default_device(jax.devices("cpu")[0]):
        compiled = train.lower(*jax.tree.map(np.asarray, (x, kernel)), 3).compile().as_text()
    windows = set(re.findall(r" convolution\(.*window={size=(\w+)", compiled))
    assert windows == ({"3x3"} if channels == 40 else set())  # the kernel's gradient would have windows of 8x8
    lowered = train.trace(x, kernel, 3).lower(lowering_platforms=("cpu",)).as_text()
    assert "stablehlo.while" in lowered
    assert "select_and_scatter" not in lowered
    on_gpu = train.trace(x, kernel, 3).lower(lowering_platforms=("cuda",)).as_text()
    assert on_gpu.count("stablehlo.convolution") >= 2  # forward, and of the kernel
    looped = train(x, kernel, 3)
    unrolled = kernel
    for _ in range(3):
        unrolled = train(x, unrolled, 1)
    assert_close(looped, unrolled)


def test_bfloat16_stays_bfloat16_and_close_to_float32():
    x, kernel = normal(2, 6, 7, 24), normal(3, 3, 24, 8, seed=1)
    f = partial(convolve, padding=SAME3)
    exact = value_and_gradients(f, x, kernel)
    rounded = value_and_gradients(f, x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16))
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(rounded))
    assert_close(jax.tree.map(lambda a: a.astype(jnp.float32), rounded), exact, 3e-2)


def test_shapes_of_huge_arrays_cost_nothing():
    x = jax.ShapeDtypeStruct((1024, 4096, 4096, 64), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, 64, 128), jnp.float32)
    f = lambda x, k: max_of_windows(convolve(x, k, stride=(2, 2), padding=SAME3))  # noqa: E731
    assert jax.eval_shape(f, x, kernel).shape == (1024, 1024, 1024, 128)


POOLS = [((2, 2), (2, 2), NONE), ((2, 2), (2, 2), ((1, 0), (0, 1))), ((3, 3), (2, 2), SAME3), ((3, 2), (3, 2), NONE)]


@pytest.mark.parametrize(("window", "stride", "padding"), POOLS)
def test_max_pool_agrees_with_xla(window, stride, padding):
    x = normal(2, 7, 9, 3)
    full = ((0, 0), *padding, (0, 0))
    theirs = lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *stride, 1), full)  # noqa: E731
    ours = partial(max_of_windows, window=window, stride=stride, padding=padding)
    assert_close(value_and_gradients(ours, x), value_and_gradients(theirs, x))
    on_gpu = partial(_max_gpu, geometry(x.shape[1:3], window, stride, padding))
    for values in (x, jnp.round(x)):  # where several are the largest, the first of them as well
        assert_close(value_and_gradients(on_gpu, values), value_and_gradients(theirs, values))


def test_max_pool_gradient_of_ties_sums_to_one_and_has_a_forward_mode():
    x = jnp.asarray([[1.0, 1.0, 0.0, 2.0], [1.0, 0.0, 2.0, 2.0]]).reshape(1, 2, 4, 1)
    gradient = jax.grad(lambda x: jnp.sum(max_of_windows(x)))(x)
    np.testing.assert_allclose(gradient.reshape(2, 2, 2).sum((0, 2)), 1.0, rtol=1e-6)
    _, tangent = jax.jvp(max_of_windows, (x,), (jnp.full_like(x, 3.0),))
    np.testing.assert_allclose(tangent, 3.0, rtol=1e-6)


@pytest.mark.parametrize(("window", "stride", "padding"), [*POOLS, ((7, 9), (7, 9), NONE)])
@pytest.mark.parametrize("count_padding", [False, True])
def test_avg_pool_is_a_mean_over_windows(window, stride, padding, count_padding):
    x = normal(2, 7, 9, 3)
    full = ((0, 0), *padding, (0, 0))

    def theirs(x):
        total = partial(
            lax.reduce_window, init_value=0.0, computation=lax.add, window_dimensions=(1, *window, 1),
            window_strides=(1, *stride, 1), padding=full,
        )  # fmt: skip
        return total(x) / (float(np.prod(window)) if count_padding else total(jnp.ones_like(x)))

    ours = partial(mean_of_windows, window=window, stride=stride, padding=padding, count_padding=count_padding)
    assert_close(value_and_gradients(ours, x), value_and_gradients(theirs, x))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convolve(normal(1, 4, 4, 3), normal(5, 3, 3, 2)), "does not fit"),
        (lambda: convolve(normal(1, 4, 4, 3), normal(3, 3, 3, 2), dilation=(2, 2)), "does not fit"),
        (lambda: convolve(normal(1, 4, 4, 3), normal(3, 3, 2, 2)), "channels"),
        (lambda: convolve(normal(1, 4, 4, 3), normal(3, 3, 1, 4), groups=2), "groups"),
        (lambda: convolve(normal(4, 4, 3), normal(3, 3, 3, 2)), "Expected"),
        (lambda: convolve_transpose(normal(1, 1, 1, 3), normal(2, 2, 3, 2), padding=SAME3), "leaves nothing"),
        (lambda: max_of_windows(normal(1, 1, 4, 3)), "does not fit"),
        (lambda: mean_of_windows(normal(1, 4, 4, 3), (5, 5), (1, 1), NONE), "does not fit"),
    ],
)
def test_errors_name_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()
