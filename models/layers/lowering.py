"""Convolution and pooling in the form that is fastest on the platform they run on.

GPU and TPU keep XLA's own operations. XLA's convolution on CPU is slow in its gradients and many times slower inside a
loop, so there a convolution becomes shifted slices and matrix products. Everything is chosen by static shapes at trace
time and by `lax.platform_dependent` at lowering time; the values are the same on each platform up to rounding.

All arrays are channels-last. A 1-D sequence [B, T, C] is convolved as [B, 1, T, C] with a kernel [1, k, C, O].
Reverse-mode differentiation works to any order; forward mode (`jax.jvp`, `jax.jacfwd`) is refused by JAX for
convolutions, since their gradients are written by hand.
"""

import math
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


class _Geometry(NamedTuple):
    """What is static about a convolution [B, *size, C] -> [B, *out, O]."""

    size: Pair
    window: Pair
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int

    @property
    def out(self) -> Pair:
        return tuple(_positions(*axis) for axis in zip(*self[:5], strict=True))


def _positions(size: int, window: int, stride: int, padding: Pair, dilation: int = 1) -> int:
    """Number of positions of a window along one axis."""
    extent, padded = dilation * (window - 1) + 1, size + sum(padding)
    if extent > padded:
        raise ValueError(
            f"A window of {window} (dilation {dilation}) does not fit an axis of {size} with padding {padding}."
        )
    return (padded - extent) // stride + 1


def convolve(
    x: Array,
    kernel: Array,
    *,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """Convolution (cross-correlation) x [B, H, W, C], kernel [kh, kw, C/groups, O] -> [B, H', W', O] in the dtype of x.

    `padding` counts the zeros before and after each axis; H' = (H + sum(padding) - dilation*(kh-1) - 1) // stride + 1.
    Raises ValueError where the channels do not match or the kernel is larger than the padded input.
    """
    _check(x, kernel, x.shape[-1] // groups)
    if x.shape[-1] % groups or kernel.shape[-1] % groups:
        raise ValueError(f"{groups} groups do not divide {x.shape[-1]} input and {kernel.shape[-1]} output channels.")
    g = _Geometry(x.shape[1:3], kernel.shape[:2], tuple(stride), _pairs(padding), tuple(dilation), groups)
    _ = g.out  # raises where the kernel does not fit
    return _forward(g, x, kernel.astype(x.dtype))


def convolve_transpose(
    x: Array, kernel: Array, *, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0))
) -> Array:
    """Transposed convolution x [B, H, W, C], kernel [kh, kw, C, O] -> [B, H', W', O] in the dtype of x.

    y[b, h*stride + i - padding_lo, ...] is the sum over h and i of x[b, h, ...] @ kernel[i, ...], so that
    H' = (H-1)*stride - padding_lo - padding_hi + kh. It is the gradient with respect to its input of `convolve` with
    the same stride and padding and the kernel's last two axes exchanged, and `torch.nn.ConvTranspose2d` with the weight
    [C, O, kh, kw]. Raises ValueError where the channels do not match or nothing is left after cropping by `padding`.
    """
    _check(x, kernel, x.shape[-1])
    padding = _pairs(padding)
    size = tuple(
        (n - 1) * s - sum(p) + k for n, s, p, k in zip(x.shape[1:3], stride, padding, kernel.shape[:2], strict=True)
    )
    if min(size) < 1:
        raise ValueError(f"Padding {padding} leaves nothing of the output of a transposed convolution: size {size}.")
    g = _Geometry(size, kernel.shape[:2], tuple(stride), padding, (1, 1), 1)
    return _input_gradient(g, kernel.swapaxes(2, 3).astype(x.dtype), x)


def _check(x: Array, kernel: Array, channels: int) -> None:
    if x.ndim != 4 or kernel.ndim != 4:
        raise ValueError(f"Expected x [B, H, W, C] and kernel [kh, kw, C, O], got {x.shape} and {kernel.shape}.")
    if kernel.shape[2] != channels:
        raise ValueError(f"The kernel {kernel.shape} expects {kernel.shape[2]} channels, the input has {channels}.")


def _pairs(padding: Padding) -> Padding:
    (a, b), (c, d) = padding
    return (a, b), (c, d)


# The trilinear form <y, convolve(x, kernel)> has three derivatives, and each one's gradients are the other two.


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _forward(g: _Geometry, x: Array, kernel: Array) -> Array:
    return lax.platform_dependent(x, kernel, cpu=partial(_forward_cpu, g), default=partial(_forward_xla, g))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _input_gradient(g: _Geometry, kernel: Array, y: Array) -> Array:
    return lax.platform_dependent(
        kernel, y, cpu=partial(_input_gradient_cpu, g), default=partial(_input_gradient_xla, g)
    )


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _kernel_gradient(g: _Geometry, x: Array, y: Array) -> Array:
    return lax.platform_dependent(x, y, cpu=partial(_kernel_gradient_cpu, g), default=partial(_kernel_gradient_xla, g))


def _keep(function, g, a, b):
    return function(g, a, b), (a, b)


def _forward_vjp(g, saved, y):
    x, kernel = saved
    return _input_gradient(g, kernel, y), _kernel_gradient(g, x, y)


def _input_gradient_vjp(g, saved, x):
    kernel, y = saved
    return _kernel_gradient(g, x, y), _forward(g, x, kernel)


def _kernel_gradient_vjp(g, saved, kernel):
    x, y = saved
    return _input_gradient(g, kernel, y), _forward(g, x, kernel)


_forward.defvjp(partial(_keep, _forward), _forward_vjp)
_input_gradient.defvjp(partial(_keep, _input_gradient), _input_gradient_vjp)
_kernel_gradient.defvjp(partial(_keep, _kernel_gradient), _kernel_gradient_vjp)


# XLA's own forms.


def _forward_xla(g: _Geometry, x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        g.stride,
        g.padding,
        rhs_dilation=g.dilation,
        feature_group_count=g.groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _input_gradient_xla(g: _Geometry, kernel: Array, y: Array) -> Array:
    x = jax.ShapeDtypeStruct((y.shape[0], *g.size, kernel.shape[2] * g.groups), y.dtype)
    return jax.linear_transpose(lambda x: _forward_xla(g, x, kernel), x)(y)[0]


def _kernel_gradient_xla(g: _Geometry, x: Array, y: Array) -> Array:
    kernel = jax.ShapeDtypeStruct((*g.window, x.shape[-1] // g.groups, y.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda kernel: _forward_xla(g, x, kernel), kernel)(y)[0]


# Slices and matrix products for CPU.


def _forward_cpu(g: _Geometry, x: Array, kernel: Array) -> Array:
    if _is_narrow(g, x.shape[-1], kernel.shape[-1]):
        rows, row_kernel = _as_rows(g, x), _row_kernel(g, kernel)
        return _forward_cpu(_row_geometry(g), rows, row_kernel).reshape(x.shape[0], *g.out, -1)
    taps, (kh, kw, c, o) = _taps(g, x), kernel.shape
    if c == 1 and g.groups == x.shape[-1] == o:  # depthwise
        return sum(tap * weight for tap, weight in zip(taps, kernel.reshape(kh * kw, o), strict=True))
    if g.groups > 1:
        patches = jnp.stack(taps, 3).reshape(*taps[0].shape[:3], kh * kw, g.groups, c)
        y = jnp.einsum("bhwkgc,kcgo->bhwgo", patches, kernel.reshape(kh * kw, c, g.groups, -1))
        return y.reshape(*taps[0].shape[:3], o)
    return jnp.tensordot(_patches(g, x), kernel.reshape(-1, o), 1)


def _kernel_gradient_cpu(g: _Geometry, x: Array, y: Array) -> Array:
    if _is_narrow(g, x.shape[-1], y.shape[-1]):
        rows = y.reshape(*y.shape[:2], 1, -1)
        return _kernel_of_rows(g, _kernel_gradient_cpu(_row_geometry(g), _as_rows(g, x), rows), x.shape[-1])
    taps, c, o = _taps(g, x), x.shape[-1] // g.groups, y.shape[-1]
    if c == 1 and g.groups == o:
        kernel = jnp.stack([jnp.sum(tap * y, (0, 1, 2)) for tap in taps])
    elif g.groups > 1:
        patches = jnp.stack(taps, 3).reshape(*taps[0].shape[:3], len(taps), g.groups, c)
        kernel = jnp.einsum("bhwkgc,bhwgo->kcgo", patches, y.reshape(*y.shape[:3], g.groups, -1))
    elif len(taps) * c <= o:
        kernel = jnp.tensordot(_patches(g, x), y, ((0, 1, 2), (0, 1, 2)))
    else:  # XLA copies the left operand: let it be the smaller one, and hide the transpose, or XLA turns them round
        kernel = jnp.tensordot(y, _patches(g, x), ((0, 1, 2), (0, 1, 2)))
        return lax.optimization_barrier(kernel).reshape(o, *g.window, c).transpose(1, 2, 3, 0)
    return kernel.reshape(*g.window, c, o)


# Where a row of the input is short (few columns of few channels), one matrix maps a whole row of it to a row of outputs:
# more multiplications, but far less copying. The columns become channels and the kernel a banded matrix.


def _is_narrow(g: _Geometry, channels: int, outputs: int) -> bool:
    return g.groups == 1 and g.window[1] > 1 and g.size[1] * channels <= 128 and outputs <= 16


def _row_geometry(g: _Geometry) -> _Geometry:
    return _Geometry((g.size[0], 1), (g.window[0], 1), (g.stride[0], 1), (g.padding[0], (0, 0)), (g.dilation[0], 1), 1)


def _band(g: _Geometry) -> np.ndarray:
    """[W, kw, W']: 1 where an output column meets an input column with a kernel column."""
    w, j, v = np.ogrid[: g.size[1], : g.window[1], : g.out[1]]
    return w == v * g.stride[1] + j * g.dilation[1] - g.padding[1][0]


def _as_rows(g: _Geometry, x: Array) -> Array:
    return x.reshape(*x.shape[:2], 1, -1)


def _row_kernel(g: _Geometry, kernel: Array) -> Array:
    """[kh, kw, C, O] -> [kh, 1, W*C, W'*O]."""
    kh, _, c, o = kernel.shape
    return jnp.einsum("wjv,ijco->iwcvo", _band(g).astype(kernel.dtype), kernel).reshape(kh, 1, g.size[1] * c, -1)


def _kernel_of_rows(g: _Geometry, row_kernel: Array, c: int) -> Array:
    """The transpose of `_row_kernel`."""
    banded = row_kernel.reshape(g.window[0], g.size[1], c, g.out[1], -1)
    return jnp.einsum("wjv,iwcvo->ijco", _band(g).astype(banded.dtype), banded)


def _taps(g: _Geometry, x: Array) -> list[Array]:
    """For each kernel element the inputs [B, H', W', C] that it meets."""
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((lo, hi, 0) for lo, hi in g.padding), (0, 0, 0)))
    return [_window(x, (i * g.dilation[0], j * g.dilation[1]), g.out, g.stride) for i, j in _elements(g)]


def _patches(g: _Geometry, x: Array) -> Array:
    """[B, H', W', kh*kw*C] in two stages, columns then rows: XLA computes what made x once for each slice of it."""
    x = lax.pad(x, np.zeros((), x.dtype), ((0, 0, 0), *((lo, hi, 0) for lo, hi in g.padding), (0, 0, 0)))
    (kh, kw), (sh, sw), (dh, dw), (h, w) = g.window, g.stride, g.dilation, g.out
    x = jnp.concatenate([x[:, :, j * dw : j * dw + (w - 1) * sw + 1 : sw] for j in range(kw)], -1)
    return jnp.concatenate([x[:, i * dh : i * dh + (h - 1) * sh + 1 : sh] for i in range(kh)], -1)


def _elements(g: _Geometry) -> list[Pair]:
    return [(i, j) for i in range(g.window[0]) for j in range(g.window[1])]


def _window(x: Array, start: Pair, out: Pair, stride: Pair = (1, 1)) -> Array:
    """Strided [B, *out, C] slice of x."""
    rows, columns = (
        slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(start, out, stride, strict=True)
    )
    return x[:, rows, columns]


def _input_gradient_cpu(g: _Geometry, kernel: Array, y: Array) -> Array:
    """One matrix product spreads each y over its window; then every input sums what reached it.

    Element i of the window of output h lies at input h*s + i*d - lo = s*(h + q) + r with (q, r) = divmod(i*d - lo, s),
    so the inputs at distance r from the multiples of s are a sum of shifted slices: `phases` of them, interleaved.
    """
    (sh, sw), c = g.stride, kernel.shape[2] * g.groups
    if _is_narrow(g, c, y.shape[-1]):
        rows = y.reshape(*y.shape[:2], 1, -1)
        return _input_gradient_cpu(_row_geometry(g), _row_kernel(g, kernel), rows).reshape(y.shape[0], *g.size, c)
    rows, columns = (
        [divmod(i * d - lo, s) for i in range(k)]
        for d, (lo, _), s, k in zip(g.dilation, g.padding, g.stride, g.window, strict=True)
    )
    blocks = tuple(-(-n // s) for n, s in zip(g.size, g.stride, strict=True))
    pads = [
        (max(0, max(q for q, _ in axis)), max(0, n - h - min(q for q, _ in axis)))
        for axis, n, h in zip((rows, columns), blocks, g.out, strict=True)
    ]
    y = jnp.pad(y, ((0, 0), *pads, (0, 0)))
    spread = _spread(g, kernel, y)
    zero = jnp.zeros((y.shape[0], *blocks, c), y.dtype)
    phases = [
        sum(
            (
                _window(spread[i, j], (pads[0][0] - rows[i][0], pads[1][0] - columns[j][0]), blocks)
                for i, j in _elements(g)
                if (rows[i][1], columns[j][1]) == (a, b)
            ),
            start=zero,
        )
        for a in range(sh)
        for b in range(sw)
    ]
    if len(phases) == 1:
        return lax.optimization_barrier(phases[0])
    x = jnp.stack(phases, 3).reshape(y.shape[0], *blocks, sh, sw, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(y.shape[0], blocks[0] * sh, blocks[1] * sw, c)[:, : g.size[0], : g.size[1]]


def _spread(g: _Geometry, kernel: Array, y: Array) -> dict[Pair, Array]:
    """What each y contributes to the input under each kernel element, [B, H', W', C]."""
    kh, kw, c, o = kernel.shape
    if c == 1 and g.groups == o:
        return {(i, j): y * kernel[i, j, 0] for i, j in _elements(g)}
    if g.groups > 1:
        kernel, y = kernel.reshape(kh * kw, c, g.groups, -1), y.reshape(*y.shape[:3], g.groups, -1)
        spread = jnp.einsum("bhwgo,kcgo->bhwkgc", y, kernel).reshape(*y.shape[:3], -1)
    else:
        spread = jnp.tensordot(y, kernel.reshape(-1, o), ((3,), (1,)))
    c *= g.groups
    return {
        (i, j): spread[..., n * c : (n + 1) * c] for n, (i, j) in enumerate(_elements(g))
    }


def max_pool(
    x: Array, window: Pair = (2, 2), stride: Pair = (2, 2), padding: Padding = ((0, 0), (0, 0))
) -> Array:
    """Maximum over windows, x [B, H, W, C] -> [B, H', W', C]; padding counts as minus infinity.

    Where several elements of a window are the maximum, the gradient is shared between them on CPU and goes to the first
    of them elsewhere. Raises ValueError where the window is larger than the padded input.
    """
    g = _Geometry(x.shape[1:3], tuple(window), tuple(stride), _pairs(padding), (1, 1), 1)
    _ = g.out
    return lax.platform_dependent(x, cpu=partial(_max_pool_cpu, g), default=partial(_max_pool_xla, g))


def _max_pool_xla(g: _Geometry, x: Array) -> Array:
    return lax.reduce_window(
        x, np.array(-np.inf, x.dtype), lax.max, (1, *g.window, 1), (1, *g.stride, 1), ((0, 0), *g.padding, (0, 0))
    )


def _max_pool_cpu(g: _Geometry, x: Array) -> Array:
    if g.window != g.stride:
        return _max_pool_xla(g, x)
    (rows, columns), (h, w) = g.out, g.window
    ends = [n * k - size - lo for n, k, size, (lo, _) in zip(g.out, g.window, g.size, g.padding, strict=True)]
    x = lax.pad(x, np.array(-np.inf, x.dtype), ((0, 0, 0), *((lo, e, 0) for (lo, _), e in zip(g.padding, ends, strict=True)), (0, 0, 0)))
    return _max_of_blocks(x.reshape(x.shape[0], rows, h, columns, w, x.shape[-1]))


@jax.custom_jvp
def _max_of_blocks(x: Array) -> Array:
    return reduce(jnp.maximum, (x[:, :, i, :, j] for i in range(x.shape[2]) for j in range(x.shape[4])))


@_max_of_blocks.defjvp
def _max_of_blocks_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = _max_of_blocks(x)
    hits = [(x[:, :, i, :, j] == y).astype(x.dtype) for i in range(x.shape[2]) for j in range(x.shape[4])]
    share = 1 / sum(hits)
    return y, jnp.sum(jnp.where(x == y[:, :, None, :, None], dx, 0), (2, 4)) * share


def avg_pool(x: Array, window: Pair, stride: Pair, padding: Padding, *, count_padding: bool = False) -> Array:
    """Mean over windows, x [B, H, W, C] -> [B, H', W', C] in the dtype of x, summed in float32.

    The mean is over the elements inside the input, or over the whole window with `count_padding`.
    Raises ValueError where the window is larger than the padded input.
    """
    g = _Geometry(x.shape[1:3], tuple(window), tuple(stride), _pairs(padding), (1, 1), 1)
    total = lax.platform_dependent(
        x.astype(jnp.promote_types(x.dtype, jnp.float32)), cpu=partial(_sum_pool_cpu, g), default=partial(_sum_pool_xla, g)
    )
    if count_padding:
        return (total / math.prod(window)).astype(x.dtype)
    count = _sum_pool_xla(g, jnp.ones((1, *x.shape[1:3], 1), total.dtype))
    return (total / jnp.maximum(count, 1)).astype(x.dtype)


def _sum_pool_xla(g: _Geometry, x: Array) -> Array:
    zero = np.zeros((), x.dtype)
    return lax.reduce_window(
        x, zero, lax.add, (1, *g.window, 1), (1, *g.stride, 1), ((0, 0), *g.padding, (0, 0))
    )


def _sum_pool_cpu(g: _Geometry, x: Array) -> Array:
    if g.window == g.size and g.out == (1, 1) and not any(map(any, g.padding)):
        return jnp.sum(x, (1, 2), keepdims=True)
    return sum(_taps(g, x))
