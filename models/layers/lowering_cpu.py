"""The three forms of a convolution on CPU: slices and matrix products wherever they beat XLA's own. See lowering.py."""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .geometry import Geometry, Pair, elements, forward_xla, padded, pair, taps, window_of

PART = 2**20  # bytes of a part of a sum over positions


def _is_sliced(g: Geometry, channels: int, outputs: int) -> bool:
    """Whether slices and a matrix product beat XLA's own operation on CPU: few channels, whole rows, windows apart."""
    apart = all(k <= s for k, s in zip(g.window, g.stride, strict=True))
    return g.groups == 1 and (apart or g.size[1] == 1 or (channels < 8 and outputs < 32))


def is_depthwise(g: Geometry, channels: int, outputs: int) -> bool:
    return channels == 1 and g.groups == outputs


def forward_cpu(g: Geometry, x: Array, kernel: Array) -> Array:
    kh, kw, c, o = kernel.shape
    if _is_narrow(g, c, o):
        y = forward_cpu(_row_geometry(g), _as_rows(x), _row_kernel(g, kernel))
        return y.reshape(x.shape[0], *g.out, o)
    if is_depthwise(g, c, o):
        wide = jnp.promote_types(x.dtype, jnp.float32)
        pairs = zip(taps(g, x), kernel.reshape(kh * kw, o), strict=True)
        return sum(tap.astype(wide) * weight.astype(wide) for tap, weight in pairs).astype(x.dtype)
    if _is_sliced(g, c, o):
        return jnp.tensordot(_patches(g, x), kernel.reshape(-1, o), 1)
    return forward_xla(g, x, kernel)


def kernel_gradient_cpu(g: Geometry, x: Array, y: Array) -> Array:
    (kh, kw), c, o = g.window, x.shape[-1] // g.groups, y.shape[-1]
    if _is_narrow(g, c, o):
        row_kernel = kernel_gradient_cpu(_row_geometry(g), _as_rows(x), _as_rows(y))
        return _kernel_of_rows(g, row_kernel, c)
    if is_depthwise(g, c, o):
        products = [(tap * y).astype(jnp.promote_types(y.dtype, jnp.float32)) for tap in taps(g, x)]
        zeros = [np.zeros((), products[0].dtype)] * len(products)
        sums = lax.reduce(products, zeros, lambda a, b: [m + n for m, n in zip(a, b, strict=True)], (0, 1, 2))
        return (
            jnp.stack(sums).reshape(kh, kw, 1, o).astype(y.dtype)
        )  # one reduction of all: many take long to compile and to run
    if g.groups > 1:
        one, groups = g._replace(groups=1), zip(jnp.split(x, g.groups, -1), jnp.split(y, g.groups, -1), strict=True)
        return jnp.concatenate([kernel_gradient_cpu(one, *group) for group in groups], -1)
    if g.stride[1] == 1 and kh * c + kw * o < kh * kw * c:
        return _kernel_gradient_of_shifts(g, x, y)
    return _sum_of_products(_patches(g, x), y).reshape(kh, kw, c, o)


def _kernel_gradient_of_shifts(g: Geometry, x: Array, y: Array) -> Array:
    """Rows of the kernel as shifts of x, its columns as shifts of y: copies kh of x and kw of y, not kh * kw of x."""
    (kh, kw), (h, w), c, width = g.window, g.out, x.shape[-1], g.size[1]
    (sh, _), (dh, dw) = g.stride, g.dilation
    x = padded(g._replace(padding=(g.padding[0], (0, 0))), x)
    x = jnp.concatenate([x[:, i * dh : i * dh + (h - 1) * sh + 1 : sh] for i in range(kh)], -1)
    starts = [j * dw - g.padding[1][0] for j in range(kw)]  # the column of x under which column 0 of y meets column j
    sides = [((0, 0), (start, width - w - start)) for start in starts]
    y = jnp.concatenate([padded(g._replace(padding=side), y) for side in sides], -1)
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
    wide = jnp.promote_types(a.dtype, jnp.float32)
    if parts == 1:
        return jnp.tensordot(a, b, ((0, 1, 2), (0, 1, 2)), preferred_element_type=wide).astype(a.dtype)
    a, b = (array.reshape(parts, -1, array.shape[-1]) for array in (a, b))
    return jnp.einsum("pnm,pnk->pmk", a, b, preferred_element_type=wide).sum(0).astype(a.dtype)


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
    return x.reshape(*x.shape[:2], 1, x.shape[2] * x.shape[3])


def _row_kernel(g: Geometry, kernel: Array) -> Array:
    """[kh, kw, C, O] -> [kh, 1, W*C, W'*O]."""
    kh, c = kernel.shape[0], kernel.shape[2]
    return jnp.einsum("wjv,ijco->iwcvo", _band(g).astype(kernel.dtype), kernel).reshape(kh, 1, g.size[1] * c, -1)


def _kernel_of_rows(g: Geometry, row_kernel: Array, c: int) -> Array:
    """The transpose of `_row_kernel`."""
    banded = row_kernel.reshape(g.window[0], g.size[1], c, g.out[1], -1)
    return jnp.einsum("wjv,iwcvo->ijco", _band(g).astype(banded.dtype), banded)


def _patches(g: Geometry, x: Array) -> Array:
    """[B, H', W', kh*kw*C] in two stages, columns then rows: XLA computes what made x once for each slice of it."""
    x = padded(g, x)
    (kh, kw), (sh, sw), (dh, dw), (h, w) = g.window, g.stride, g.dilation, g.out
    x = jnp.concatenate([x[:, :, j * dw : j * dw + (w - 1) * sw + 1 : sw] for j in range(kw)], -1)
    return jnp.concatenate([x[:, i * dh : i * dh + (h - 1) * sh + 1 : sh] for i in range(kh)], -1)


def input_gradient_cpu(g: Geometry, kernel: Array, y: Array) -> Array:
    c, o = kernel.shape[2:]
    if _is_narrow(g, c, o):
        x = input_gradient_cpu(_row_geometry(g), _row_kernel(g, kernel), _as_rows(y))
        return x.reshape(y.shape[0], *g.size, c)
    if is_depthwise(g, c, o) or _is_sliced(g, c, o):
        return _input_gradient_of_spread(g, kernel, y)
    return _input_gradient_of_turned(g, kernel, y)


def _input_gradient_of_turned(g: Geometry, kernel: Array, y: Array) -> Array:
    """The convolution of y, spread by the stride, with the kernel turned around and its channels exchanged.

    `input_gradient_xla` says the same without making that kernel, and in a loop on CPU takes three times as long.
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
    blocks = pair(tuple(-(-n // s) for n, s in zip(g.size, g.stride, strict=True)))
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
                window_of(spread[i, j], (pads[0][0] - rows[i][0], pads[1][0] - columns[j][0]), blocks)
                for i, j in elements(g)
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
    if is_depthwise(g, c, o):
        return {(i, j): y * kernel[i, j, 0] for i, j in elements(g)}
    spread = jnp.tensordot(y, kernel.reshape(-1, o), ((3,), (1,)))
    return {(i, j): spread[..., n * c : (n + 1) * c] for n, (i, j) in enumerate(elements(g))}
