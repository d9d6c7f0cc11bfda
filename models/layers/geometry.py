"""What is static about a convolution, its windows, and XLA's own form of it. All arrays are channels-last."""

from typing import NamedTuple

import jax
import numpy as np
from jax import Array, lax

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


class Geometry(NamedTuple):
    """What is static about a convolution [B, *size, C] -> [B, *out, O]."""

    size: Pair
    window: Pair
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int

    @property
    def out(self) -> Pair:
        return pair(tuple(_positions(*axis) for axis in zip(*self[:5], strict=True)))


def _positions(size: int, window: int, stride: int, padding: Pair, dilation: int = 1) -> int:
    """Number of positions of a window along one axis."""
    extent, padded = dilation * (window - 1) + 1, size + sum(padding)
    if extent > padded:
        raise ValueError(
            f"A window of {window} (dilation {dilation}) does not fit an axis of {size} with padding {padding}."
        )
    return (padded - extent) // stride + 1


def geometry(
    size: tuple[int, ...],
    window: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Geometry:
    """The geometry with plain hashable tuples. Raises ValueError where the window does not fit."""
    rows, columns = padding
    g = Geometry(pair(size), pair(window), pair(stride), (pair(rows), pair(columns)), pair(dilation), groups)
    _ = g.out
    return g


def pair(values: tuple[int, ...]) -> Pair:
    first, second = values
    return first, second


def forward_xla(g: Geometry, x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        g.stride,
        g.padding,
        rhs_dilation=g.dilation,
        feature_group_count=g.groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def input_gradient_xla(g: Geometry, kernel: Array, y: Array) -> Array:
    x = jax.ShapeDtypeStruct((y.shape[0], *g.size, kernel.shape[2] * g.groups), y.dtype)
    return jax.linear_transpose(lambda x: forward_xla(g, x, kernel), x)(y)[0]


def kernel_gradient_xla(g: Geometry, x: Array, y: Array) -> Array:
    kernel = jax.ShapeDtypeStruct((*g.window, x.shape[-1] // g.groups, y.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda kernel: forward_xla(g, x, kernel), kernel)(y)[0]


def taps(g: Geometry, x: Array, padding: float = 0) -> list[Array]:
    """For each kernel element the inputs [B, H', W', C] that it meets, or `padding` around them."""
    x = padded(g, x, padding)
    return [window_of(x, (i * g.dilation[0], j * g.dilation[1]), g.out, g.stride) for i, j in elements(g)]


def padded(g: Geometry, x: Array, value: float = 0) -> Array:
    return lax.pad(x, np.array(value, x.dtype), ((0, 0, 0), *((lo, hi, 0) for lo, hi in g.padding), (0, 0, 0)))


def elements(g: Geometry) -> list[Pair]:
    return [(i, j) for i in range(g.window[0]) for j in range(g.window[1])]


def window_of(x: Array, start: Pair, out: Pair, stride: Pair = (1, 1)) -> Array:
    """Strided [B, *out, C] slice of x."""
    rows, columns = (slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(start, out, stride, strict=True))
    return x[:, rows, columns]
