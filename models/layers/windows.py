"""Windows of pooling in the form that is fastest on the platform they run on; see lowering.py for convolutions."""

import math
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..core import as_float
from .geometry import Geometry, Padding, Pair, geometry, taps


def max_of_windows(
    x: Array, window: Pair = (2, 2), stride: Pair = (2, 2), padding: Padding = ((0, 0), (0, 0))
) -> Array:
    """Maximum over windows, x [B, H, W, C] -> [B, H', W', C]; padding counts as minus infinity.

    Where several elements of a window are the maximum, the gradient goes to the first of them; on CPU, where windows do
    not overlap (window == stride), it is shared equally between them.
    Raises ValueError where the window is larger than the padded input.
    """
    g = geometry(x.shape[1:3], window, stride, padding)
    cpu, gpu, others = (partial(form, g) for form in (_max_cpu, _max_gpu, _max_xla))
    return lax.platform_dependent(as_float(x), cpu=cpu, cuda=gpu, rocm=gpu, default=others)


def _max_xla(g: Geometry, x: Array) -> Array:
    return lax.reduce_window(
        x, np.array(-np.inf, x.dtype), lax.max, (1, *g.window, 1), (1, *g.stride, 1), ((0, 0), *g.padding, (0, 0))
    )


def _max_cpu(g: Geometry, x: Array) -> Array:
    if g.window != g.stride:
        return _max_xla(g, x)
    # Windows that do not overlap are blocks: their gradient is a comparison instead of XLA's slow select-and-scatter.
    (rows, columns), (h, w) = g.out, g.window
    ends = [n * k - size - lo for n, k, size, (lo, _) in zip(g.out, g.window, g.size, g.padding, strict=True)]
    edges = ((lo, end, 0) for (lo, _), end in zip(g.padding, ends, strict=True))  # a negative end crops
    x = lax.pad(x, np.array(-np.inf, x.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    return _max_of_blocks(x.reshape(x.shape[0], rows, h, columns, w, x.shape[-1]))


@jax.custom_jvp
def _max_of_blocks(x: Array) -> Array:
    return reduce(jnp.maximum, (x[:, :, i, :, j] for i in range(x.shape[2]) for j in range(x.shape[4])))


@_max_of_blocks.defjvp
def _max_of_blocks_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = _max_of_blocks(x)
    # bfloat16 would count to 256
    winners = sum((x[:, :, i, :, j] == y).astype(jnp.float32) for i in range(x.shape[2]) for j in range(x.shape[4]))
    dy = jnp.sum(jnp.where(x == y[:, :, None, :, None], dx, 0), (2, 4)) / winners
    return y, dy.astype(y.dtype)


def _max_gpu(g: Geometry, x: Array) -> Array:
    return _max_by_taps(g, x) if math.prod(g.window) <= 16 else _max_xla(g, x)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _max_by_taps(g: Geometry, x: Array) -> Array:
    return _max_xla(g, x)


@_max_by_taps.defjvp
def _max_by_taps_jvp(g, primals, tangents):
    """By the number of the first tap that is the maximum: XLA's select-and-scatter takes much longer."""
    (x,), (dx,) = primals, tangents
    y = _max_by_taps(g, x)
    first = jnp.full(y.shape, -1, jnp.int8)
    for i, tap in reversed(list(enumerate(taps(g, x, -np.inf)))):
        first = jnp.where(tap == y, jnp.int8(i), first)
    first = lax.optimization_barrier(first)  # computed once, and not again for each tap of the gradient
    return y, reduce(jnp.add, (jnp.where(first == i, tap, 0) for i, tap in enumerate(taps(g, dx))))


def mean_of_windows(x: Array, window: Pair, stride: Pair, padding: Padding, *, count_padding: bool = False) -> Array:
    """Mean over windows, x [B, H, W, C] -> [B, H', W', C] in the dtype of x (float32 for integers), summed in
    float32.

    The mean is over the elements inside the input, or over the whole window with `count_padding`.
    Raises ValueError where the window is larger than the padded input.
    """
    x, g = as_float(x), geometry(x.shape[1:3], window, stride, padding)
    total = lax.platform_dependent(
        x.astype(jnp.promote_types(x.dtype, jnp.float32)),
        cpu=partial(_sum_cpu, g),
        default=partial(_sum_xla, g),
    )
    if count_padding:
        return (total / math.prod(window)).astype(x.dtype)
    count = _sum_xla(g, jnp.ones((1, *x.shape[1:3], 1), total.dtype))
    return (total / jnp.maximum(count, 1)).astype(x.dtype)


def _sum_xla(g: Geometry, x: Array) -> Array:
    zero = np.zeros((), x.dtype)
    return lax.reduce_window(x, zero, lax.add, (1, *g.window, 1), (1, *g.stride, 1), ((0, 0), *g.padding, (0, 0)))


def _sum_cpu(g: Geometry, x: Array) -> Array:
    if g.window == g.size and g.out == (1, 1) and not any(map(any, g.padding)):
        return jnp.sum(x, (1, 2), keepdims=True)
    return reduce(jnp.add, taps(g, x))
