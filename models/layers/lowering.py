"""Convolution in the form that is fastest on the platform it runs on.

GPU and TPU keep XLA's own operation. On CPU its gradient for the kernel is slow, and in a loop many times slower still,
so there it becomes slices and a matrix product, and so do all three forms where channels are few or windows do not
overlap. Everything is chosen by static shapes at trace time and by `lax.platform_dependent` at lowering time; values
are the same on each platform up to rounding.

All arrays are channels-last. A 1-D sequence [B, T, C] is convolved as [B, 1, T, C] with a kernel [1, k, C, O].
Reverse-mode differentiation works to any order. Forward mode (`jax.jvp`, `jax.jacfwd`) needs `train=False`: JAX refuses
it for gradients that are written by hand.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

PART = 2**20  # bytes
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
        return _pair(tuple(_positions(*axis) for axis in zip(*self[:5], strict=True)))


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
    train: bool = True,
) -> Array:
    """Convolution (cross-correlation) x [B, H, W, C], kernel [kh, kw, C/groups, O] -> [B, H', W', O] in the dtype of x.

    `padding` counts the zeros before and after each axis; H' = (H + sum(padding) - dilation*(kh-1) - 1) // stride + 1.
    Without `train` forward-mode differentiation works as well, by XLA's own operation.
    Raises ValueError where the channels do not match or the kernel is larger than the padded input.
    """
    _check(x, kernel, x.shape[-1] // groups)
    if x.shape[-1] % groups or kernel.shape[-1] % groups:
        raise ValueError(f"{groups} groups do not divide {x.shape[-1]} input and {kernel.shape[-1]} output channels.")
    g = geometry(x.shape[1:3], kernel.shape[:2], stride, padding, dilation, groups)
    kernel = kernel.astype(x.dtype)
    if train:
        return _forward(g, x, kernel)
    cpu = _forward_cpu if _is_depthwise(g, *kernel.shape[2:]) else _forward_xla
    return lax.platform_dependent(x, kernel, cpu=partial(cpu, g), default=partial(_forward_xla, g))


def convolve_transpose(x: Array, kernel: Array, *, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0))) -> Array:
    """Transposed convolution x [B, H, W, C], kernel [kh, kw, C, O] -> [B, H', W', O] in the dtype of x.

    y[b, h*stride + i - padding_lo, ...] is the sum over h and i of x[b, h, ...] @ kernel[i, ...], so that
    H' = (H-1)*stride - padding_lo - padding_hi + kh. It is the gradient with respect to its input of `convolve` with
    the same stride and padding and the kernel's last two axes exchanged, and `torch.nn.ConvTranspose2d` with the weight
    [C, O, kh, kw]. Raises ValueError where the channels do not match or nothing is left after cropping by `padding`.
    """
    _check(x, kernel, x.shape[-1])
    size = tuple(
        (n - 1) * s - sum(p) + k for n, s, p, k in zip(x.shape[1:3], stride, padding, kernel.shape[:2], strict=True)
    )
    if min(size) < 1:
        raise ValueError(f"Padding {padding} leaves nothing of the output of a transposed convolution: size {size}.")
    g = geometry(size, kernel.shape[:2], stride, padding)
    return _input_gradient(g, kernel.swapaxes(2, 3).astype(x.dtype), x)


def _check(x: Array, kernel: Array, channels: int) -> None:
    if x.ndim != 4 or kernel.ndim != 4:
        raise ValueError(f"Expected x [B, H, W, C] and kernel [kh, kw, C, O], got {x.shape} and {kernel.shape}.")
    if kernel.shape[2] != channels:
        raise ValueError(f"The kernel {kernel.shape} expects {kernel.shape[2]} channels, the input has {channels}.")


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
    g = Geometry(_pair(size), _pair(window), _pair(stride), (_pair(rows), _pair(columns)), _pair(dilation), groups)
    _ = g.out
    return g


def _pair(values: tuple[int, ...]) -> Pair:
    first, second = values
    return first, second


# The trilinear form <y, convolve(x, kernel)> has three derivatives, and each one's gradients are the other two.


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _forward(g: Geometry, x: Array, kernel: Array) -> Array:
    return lax.platform_dependent(x, kernel, cpu=partial(_forward_cpu, g), default=partial(_forward_xla, g))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _input_gradient(g: Geometry, kernel: Array, y: Array) -> Array:
    return lax.platform_dependent(
        kernel, y, cpu=partial(_input_gradient_cpu, g), default=partial(_input_gradient_xla, g)
    )


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _kernel_gradient(g: Geometry, x: Array, y: Array) -> Array:
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


def _forward_xla(g: Geometry, x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        g.stride,
        g.padding,
        rhs_dilation=g.dilation,
        feature_group_count=g.groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _input_gradient_xla(g: Geometry, kernel: Array, y: Array) -> Array:
    x = jax.ShapeDtypeStruct((y.shape[0], *g.size, kernel.shape[2] * g.groups), y.dtype)
    return jax.linear_transpose(lambda x: _forward_xla(g, x, kernel), x)(y)[0]


def _kernel_gradient_xla(g: Geometry, x: Array, y: Array) -> Array:
    kernel = jax.ShapeDtypeStruct((*g.window, x.shape[-1] // g.groups, y.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda kernel: _forward_xla(g, x, kernel), kernel)(y)[0]


# Slices and matrix products for CPU.


def _is_sliced(g: Geometry, channels: int, outputs: int) -> bool:
    """Whether slices and a matrix product beat XLA's own operation on CPU: few channels, whole rows, windows apart."""
    apart = all(k <= s for k, s in zip(g.window, g.stride, strict=True))
    return g.groups == 1 and (apart or g.size[1] == 1 or (channels < 8 and outputs < 32))


def _is_depthwise(g: Geometry, channels: int, outputs: int) -> bool:
    return channels == 1 and g.groups == outputs


def _forward_cpu(g: Geometry, x: Array, kernel: Array) -> Array:
    kh, kw, c, o = kernel.shape
    if _is_narrow(g, c, o):
        y = _forward_cpu(_row_geometry(g), _as_rows(x), _row_kernel(g, kernel))
        return y.reshape(x.shape[0], *g.out, o)
    if _is_depthwise(g, c, o):
        return sum(tap * weight for tap, weight in zip(taps(g, x), kernel.reshape(kh * kw, o), strict=True))
    if _is_sliced(g, c, o):
        return jnp.tensordot(_patches(g, x), kernel.reshape(-1, o), 1)
    return _forward_xla(g, x, kernel)


def _kernel_gradient_cpu(g: Geometry, x: Array, y: Array) -> Array:
    (kh, kw), c, o = g.window, x.shape[-1] // g.groups, y.shape[-1]
    if _is_narrow(g, c, o):
        row_kernel = _kernel_gradient_cpu(_row_geometry(g), _as_rows(x), _as_rows(y))
        return _kernel_of_rows(g, row_kernel, c)
    if _is_depthwise(g, c, o):
        products = [(tap * y).astype(jnp.promote_types(y.dtype, jnp.float32)) for tap in taps(g, x)]
        zeros = [np.zeros((), products[0].dtype)] * len(products)
        sums = lax.reduce(products, zeros, lambda a, b: [m + n for m, n in zip(a, b, strict=True)], (0, 1, 2))
        return (
            jnp.stack(sums).reshape(kh, kw, 1, o).astype(y.dtype)
        )  # one reduction of all: many take long to compile and to run
    if g.groups > 1:
        one, groups = g._replace(groups=1), zip(jnp.split(x, g.groups, -1), jnp.split(y, g.groups, -1), strict=True)
        return jnp.concatenate([_kernel_gradient_cpu(one, *group) for group in groups], -1)
    if g.stride[1] == 1 and kh * c + kw * o < kh * kw * c:
        return _kernel_gradient_of_shifts(g, x, y)
    return _sum_of_products(_patches(g, x), y).reshape(kh, kw, c, o)


def _kernel_gradient_of_shifts(g: Geometry, x: Array, y: Array) -> Array:
    """Rows of the kernel as shifts of x, its columns as shifts of y: copies kh of x and kw of y, not kh * kw of x."""
    (kh, kw), (h, w), c, width = g.window, g.out, x.shape[-1], g.size[1]
    (sh, _), (dh, dw) = g.stride, g.dilation
    x = _pad(g._replace(padding=(g.padding[0], (0, 0))), x)
    x = jnp.concatenate([x[:, i * dh : i * dh + (h - 1) * sh + 1 : sh] for i in range(kh)], -1)
    starts = [j * dw - g.padding[1][0] for j in range(kw)]  # the column of x under which column 0 of y meets column j
    sides = [((0, 0), (start, width - w - start)) for start in starts]
    y = jnp.concatenate([_pad(g._replace(padding=side), y) for side in sides], -1)
    return _sum_of_products(x, y).reshape(kh, c, kw, -1).transpose(0, 2, 1, 3)


def _sum_of_products(a: Array, b: Array) -> Array:
    """a [B, H, W, M], b [B, H, W, N] -> [M, N], summed over all positions, in parts that fit the processor's cache.

    XLA copies the left factor in another order: let it be the smaller, and hide the transpose, or XLA exchanges them.
    """
    if a.shape[-1] > b.shape[-1]:
        return lax.optimization_barrier(_sum_of_products(b, a)).T
    positions = a.size // a.shape[-1]
    most = min(a.size * a.dtype.itemsize // PART, positions // (8 * b.shape[-1]))  # parts; their sums are small
    parts = max((n for n in range(1, most + 1) if a.shape[0] % n == 0), default=1)
    if parts == 1:
        return jnp.tensordot(a, b, ((0, 1, 2), (0, 1, 2)))
    a, b = (array.reshape(parts, -1, array.shape[-1]) for array in (a, b))
    return jnp.einsum("pnm,pnk->pmk", a, b).sum(0)


# Where rows of the input are short (few columns of few channels), one matrix maps a whole row to a row of outputs: more
# multiplications, but far less copying. The columns become channels and the kernel a banded matrix.


def _is_narrow(g: Geometry, channels: int, outputs: int) -> bool:
    return g.groups == 1 and g.window[1] > 1 and g.size[1] * channels <= 128 and outputs <= 16


def _row_geometry(g: Geometry) -> Geometry:
    return Geometry((g.size[0], 1), (g.window[0], 1), (g.stride[0], 1), (g.padding[0], (0, 0)), (g.dilation[0], 1), 1)


def _band(g: Geometry) -> np.ndarray:
    """[W, kw, W']: 1 where an output column meets an input column with a kernel column."""
    w, j, v = np.ogrid[: g.size[1], : g.window[1], : g.out[1]]
    return w == v * g.stride[1] + j * g.dilation[1] - g.padding[1][0]


def _as_rows(x: Array) -> Array:
    return x.reshape(*x.shape[:2], 1, -1)


def _row_kernel(g: Geometry, kernel: Array) -> Array:
    """[kh, kw, C, O] -> [kh, 1, W*C, W'*O]."""
    kh, c = kernel.shape[0], kernel.shape[2]
    return jnp.einsum("wjv,ijco->iwcvo", _band(g).astype(kernel.dtype), kernel).reshape(kh, 1, g.size[1] * c, -1)


def _kernel_of_rows(g: Geometry, row_kernel: Array, c: int) -> Array:
    """The transpose of `_row_kernel`."""
    banded = row_kernel.reshape(g.window[0], g.size[1], c, g.out[1], -1)
    return jnp.einsum("wjv,iwcvo->ijco", _band(g).astype(banded.dtype), banded)


def taps(g: Geometry, x: Array) -> list[Array]:
    """For each kernel element the inputs [B, H', W', C] that it meets."""
    x = _pad(g, x)
    return [_window(x, (i * g.dilation[0], j * g.dilation[1]), g.out, g.stride) for i, j in _elements(g)]


def _patches(g: Geometry, x: Array) -> Array:
    """[B, H', W', kh*kw*C] in two stages, columns then rows: XLA computes what made x once for each slice of it."""
    x = _pad(g, x)
    (kh, kw), (sh, sw), (dh, dw), (h, w) = g.window, g.stride, g.dilation, g.out
    x = jnp.concatenate([x[:, :, j * dw : j * dw + (w - 1) * sw + 1 : sw] for j in range(kw)], -1)
    return jnp.concatenate([x[:, i * dh : i * dh + (h - 1) * sh + 1 : sh] for i in range(kh)], -1)


def _pad(g: Geometry, x: Array) -> Array:
    return lax.pad(x, np.zeros((), x.dtype), ((0, 0, 0), *((lo, hi, 0) for lo, hi in g.padding), (0, 0, 0)))


def _elements(g: Geometry) -> list[Pair]:
    return [(i, j) for i in range(g.window[0]) for j in range(g.window[1])]


def _window(x: Array, start: Pair, out: Pair, stride: Pair = (1, 1)) -> Array:
    """Strided [B, *out, C] slice of x."""
    rows, columns = (slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(start, out, stride, strict=True))
    return x[:, rows, columns]


def _input_gradient_cpu(g: Geometry, kernel: Array, y: Array) -> Array:
    c, o = kernel.shape[2:]
    if _is_narrow(g, c, o):
        x = _input_gradient_cpu(_row_geometry(g), _row_kernel(g, kernel), _as_rows(y))
        return x.reshape(y.shape[0], *g.size, c)
    if _is_depthwise(g, c, o) or _is_sliced(g, c, o):
        return _input_gradient_of_spread(g, kernel, y)
    return _input_gradient_of_turned(g, kernel, y)


def _input_gradient_of_turned(g: Geometry, kernel: Array, y: Array) -> Array:
    """The convolution of y, spread by the stride, with the kernel turned around and its channels exchanged.

    `_input_gradient_xla` says the same without making that kernel, and in a loop on CPU takes three times as long.
    """
    kh, kw, c, _ = kernel.shape
    turned = kernel[::-1, ::-1].reshape(kh, kw, c, g.groups, -1).transpose(0, 1, 4, 3, 2)
    sides = []
    for size, out, k, s, d, (lo, _) in zip(g.size, g.out, g.window, g.stride, g.dilation, g.padding, strict=True):
        before = d * (k - 1) - lo
        sides.append((before, size - (out - 1) * s - before + d * (k - 1) - 1))
    return lax.conv_general_dilated(
        y,
        turned.reshape(kh, kw, -1, c * g.groups),
        (1, 1),
        sides,
        lhs_dilation=g.stride,
        rhs_dilation=g.dilation,
        feature_group_count=g.groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _input_gradient_of_spread(g: Geometry, kernel: Array, y: Array) -> Array:
    """One matrix product spreads each y over its window; then every input sums what reached it.

    Element i of the window of output h lies at input h*s + i*d - lo = s*(h + q) + r with (q, r) = divmod(i*d - lo, s),
    so the inputs at distance r from the multiples of s are a sum of shifted slices: `phases` of them, interleaved.
    """
    (sh, sw), c = g.stride, kernel.shape[2] * g.groups
    rows, columns = (
        [divmod(i * d - lo, s) for i in range(k)]
        for d, (lo, _), s, k in zip(g.dilation, g.padding, g.stride, g.window, strict=True)
    )
    blocks = _pair(tuple(-(-n // s) for n, s in zip(g.size, g.stride, strict=True)))
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
        return phases[0]
    x = jnp.stack(phases, 3).reshape(y.shape[0], *blocks, sh, sw, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(y.shape[0], blocks[0] * sh, blocks[1] * sw, c)[:, : g.size[0], : g.size[1]]


def _spread(g: Geometry, kernel: Array, y: Array) -> dict[Pair, Array]:
    """What each y contributes to the input under each kernel element, [B, H', W', C]."""
    c, o = kernel.shape[2:]
    if _is_depthwise(g, c, o):
        return {(i, j): y * kernel[i, j, 0] for i, j in _elements(g)}
    spread = jnp.tensordot(y, kernel.reshape(-1, o), ((3,), (1,)))
    return {(i, j): spread[..., n * c : (n + 1) * c] for n, (i, j) in enumerate(_elements(g))}
