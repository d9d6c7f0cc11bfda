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

import jax
from jax import Array, lax

from .geometry import Geometry, Padding, Pair, forward_xla, geometry, input_gradient_xla, kernel_gradient_xla
from .lowering_cpu import forward_cpu, input_gradient_cpu, is_depthwise, kernel_gradient_cpu


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
    cpu = forward_cpu if is_depthwise(g, *kernel.shape[2:]) else forward_xla
    return lax.platform_dependent(x, kernel, cpu=partial(cpu, g), default=partial(forward_xla, g))


def convolve_transpose(
    x: Array, kernel: Array, *, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0)), train: bool = True
) -> Array:
    """Transposed convolution x [B, H, W, C], kernel [kh, kw, C, O] -> [B, H', W', O] in the dtype of x.

    y[b, h*stride + i - padding_lo, ...] is the sum over h and i of x[b, h, ...] @ kernel[i, ...], so that
    H' = (H-1)*stride - padding_lo - padding_hi + kh. It is the gradient with respect to its input of `convolve` with
    the same stride and padding and the kernel's last two axes exchanged, and `torch.nn.ConvTranspose2d` with the weight
    [C, O, kh, kw]. Without `train` forward-mode differentiation works as well.
    Raises ValueError where the channels do not match or nothing is left after cropping by `padding`.
    """
    _check(x, kernel, x.shape[-1])
    size = tuple(
        (n - 1) * s - sum(p) + k for n, s, p, k in zip(x.shape[1:3], stride, padding, kernel.shape[:2], strict=True)
    )
    if min(size) < 1:
        raise ValueError(f"Padding {padding} leaves nothing of the output of a transposed convolution: size {size}.")
    g = geometry(size, kernel.shape[:2], stride, padding)
    kernel = kernel.swapaxes(2, 3).astype(x.dtype)
    if train:
        return _input_gradient(g, kernel, x)
    return lax.platform_dependent(kernel, x, cpu=partial(input_gradient_cpu, g), default=partial(input_gradient_xla, g))


def _check(x: Array, kernel: Array, channels: int) -> None:
    if x.ndim != 4 or kernel.ndim != 4:
        raise ValueError(f"Expected x [B, H, W, C] and kernel [kh, kw, C, O], got {x.shape} and {kernel.shape}.")
    if kernel.shape[2] != channels:
        raise ValueError(f"The kernel {kernel.shape} expects {kernel.shape[2]} channels, the input has {channels}.")


# The trilinear form <y, convolve(x, kernel)> has three derivatives, and each one's gradients are the other two.


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _forward(g: Geometry, x: Array, kernel: Array) -> Array:
    return lax.platform_dependent(x, kernel, cpu=partial(forward_cpu, g), default=partial(forward_xla, g))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _input_gradient(g: Geometry, kernel: Array, y: Array) -> Array:
    return lax.platform_dependent(kernel, y, cpu=partial(input_gradient_cpu, g), default=partial(input_gradient_xla, g))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _kernel_gradient(g: Geometry, x: Array, y: Array) -> Array:
    return lax.platform_dependent(x, y, cpu=partial(kernel_gradient_cpu, g), default=partial(kernel_gradient_xla, g))


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
