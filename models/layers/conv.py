"""Convolution and transposed convolution over one or two spatial axes, channels last."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core import Model, param_dtype
from . import lowering
from .dense import add, lecun_normal, zeros

Size = int | Sequence[int]
Padding = str | int | Sequence[int] | Sequence[tuple[int, int]]


def conv(
    features: int,
    kernel: Size,
    *,
    stride: Size = 1,
    padding: Padding = "SAME",
    dilation: Size = 1,
    groups: int = 1,
    bias: bool = True,
    kernel_init=lecun_normal,
    bias_init=zeros,
) -> Model:
    """Cross-correlation with a learned kernel: [B, H, W, C] -> [B, H', W', features], [B, T, C] -> [B, T', features].

    params: kernel [kh, kw, C / groups, features], bias [features]. `padding` is "SAME", "VALID", a number for every
    side, a number an axis, or (low, high) an axis. Dumoulin and Visin 2016, arXiv:1603.07285.
    Raises ValueError when the groups do not divide the channels or the kernel is larger than the padded input.
    """
    if features < 1:
        raise ValueError(f"conv needs at least 1 feature, not {features}")
    if groups < 1 or features % groups:
        raise ValueError(f"{groups} groups must divide {features} features, both at least 1")

    def init(key, spec):
        dims = _spatial_dims(spec.shape)
        if spec.shape[-1] % groups:
            raise ValueError(f"{groups} groups do not divide {spec.shape[-1]} channels")
        shape = (*per_axis(kernel, dims), spec.shape[-1] // groups, features)
        params = {"kernel": kernel_init(key, shape, param_dtype(spec))}
        return params | ({"bias": bias_init(key, (features,), param_dtype(spec))} if bias else {}), {}

    def apply(params, state, x, *, key=None, train=False):
        dims = _spatial_dims(x.shape)
        strides, dilations = per_axis(stride, dims), per_axis(dilation, dims)
        extent = [(k - 1) * d + 1 for k, d in zip(per_axis(kernel, dims), dilations, strict=True)]
        y = _as_2d(
            lambda x, w, s, d, p: lowering.convolve(x, w, stride=s, dilation=d, padding=p, groups=groups, train=train),
            x, params["kernel"], strides, dilations, pads(padding, x.shape[1:-1], extent, strides),
        )  # fmt: skip
        return add(y, params["bias"]) if bias else y, {}

    return Model(init, apply)


def conv_transpose(
    features: int,
    kernel: Size,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    bias: bool = True,
    kernel_init=lecun_normal,
) -> Model:
    """The gradient of `conv` by its input, as a layer that enlarges: [B, H, W, C] -> [B, H', W', features].

    H' = (H - 1) stride - low - high + kh, where (low, high) is the padding; "SAME" gives H' = H stride and "VALID" pads
    nothing. params: kernel [kh, kw, C, features], bias [features]. Initialisers count kh kw C inputs of each output, of
    which stride^2 times fewer meet in it. Zeiler et al. 2010, doi:10.1109/CVPR.2010.5539957.
    """
    if features < 1:
        raise ValueError(f"conv_transpose needs at least 1 feature, not {features}")

    def init(key, spec):
        dims = _spatial_dims(spec.shape)
        shape = (*per_axis(kernel, dims), spec.shape[-1], features)
        params = {"kernel": kernel_init(key, shape, param_dtype(spec))}
        return params | ({"bias": jnp.zeros(features, param_dtype(spec))} if bias else {}), {}

    def apply(params, state, x, *, key=None, train=False):
        dims = _spatial_dims(x.shape)
        strides, sizes = per_axis(stride, dims), per_axis(kernel, dims)
        if padding == "SAME":
            low = [max(k - s, 0) // 2 for k, s in zip(sizes, strides, strict=True)]  # what SAME puts before, in `conv`
            sides = [(a, k - s - a) for a, k, s in zip(low, sizes, strides, strict=True)]
        else:
            sides = pads(padding, x.shape[1:-1], sizes, strides)
        y = _as_2d(
            lambda x, w, s, d, p: lowering.convolve_transpose(x, w, stride=s, padding=p, train=train),
            x, params["kernel"], strides, (1,) * dims, sides,
        )  # fmt: skip
        return add(y, params["bias"]) if bias else y, {}

    return Model(init, apply)


def per_axis(size: Size, dims: int) -> tuple[int, ...]:
    """3 -> (3, 3); (1, 2) stays. Raises ValueError for another length and for a size below 1."""
    sizes = (int(size),) * dims if isinstance(size, (int, np.integer)) else size
    if not isinstance(sizes, Sequence) or len(sizes) != dims or min(sizes) < 1:
        raise ValueError(f"{size} is no size for {dims} spatial axes: give one number of at least 1, or one an axis")
    return tuple(sizes)


def pads(padding: Padding, shape, window, strides) -> list[tuple[int, int]]:
    """(low, high) for each spatial axis, from any of the ways to say it."""
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID"):
            raise ValueError(f"padding is 'SAME', 'VALID' or numbers, not '{padding}'")
        return jax.lax.padtype_to_pads(shape, window, strides, padding)
    sides: list[Any] = [padding] * len(shape) if isinstance(padding, (int, np.integer)) else list(padding)
    pairs = [(side, side) if isinstance(side, (int, np.integer)) else tuple(side) for side in sides]
    if len(pairs) != len(shape) or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"padding {padding} does not fit {len(shape)} spatial axes")
    return pairs


def _spatial_dims(shape) -> int:
    if len(shape) not in (3, 4):
        raise ValueError(f"a convolution takes [B, H, W, C] or [B, T, C], not an array of shape {shape}")
    return len(shape) - 2


def _as_2d(form, x, kernel, strides, dilations, sides):
    """One spatial axis is two, the first of length 1. Integer images take the kernel's dtype."""
    x = x.astype(jnp.promote_types(x.dtype, kernel.dtype))
    if x.ndim == 4:
        return form(x, kernel, strides, dilations, sides)
    y = form(x[:, None], kernel[None], (1, *strides), (1, *dilations), [(0, 0), *sides])
    return y[:, 0]
