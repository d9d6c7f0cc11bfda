"""The networks of the fastest CIFAR-10 trainings, airbench94 and airbench96. Jordan 2024, arXiv:2404.00498."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import add
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import gelu

from .core import Model, chain, named, of_images, skip
from .layers import batch_norm, conv, dense, global_max_pool, max_pool


@dataclass(frozen=True)
class Airbench:
    """images [B, H, W, C] -> logits [B, classes].

    A convolution of 2 x 2 pixels into components that are uncorrelated over photographs, and their negatives; then
    three blocks, each of two or three convolutions and a pool that halves the image. 1,971,640 parameters for 32 x 32
    colour images. Jordan's code has the exact GELU, batch norm with an epsilon of 1e-12 and a first kernel that is not
    trained; here they are the tanh approximation, 1e-5 and, without `--init.freeze whitening`, a kernel that is.
    Raises ValueError for another depth, and for images of less than 9 x 9 pixels, too small for three pools.
    """

    classes: int = 10
    """classes to tell apart"""
    widths: tuple[int, ...] = (64, 256, 256)
    """channels of each block"""
    depth: Literal[2, 3] = 2
    """convolutions of each block; of three, the last two learn what to add to what the first one found (airbench96)"""
    scale: float = 1 / 9
    """of the logits: small ones keep the loss from being sure early"""

    def build(self) -> Model:
        if self.depth not in (2, 3):
            raise ValueError(f"a block of Airbench has 2 or 3 convolutions, not {self.depth}")
        return of_images(chain(
            named("whitening", _whitening()), gelu,
            *(named(f"block{i}", _block(width, self.depth)) for i, width in enumerate(self.widths, 1)),
            global_max_pool,
            dense(self.classes, bias=False), lambda x: x * self.scale,
        ))  # fmt: skip


def _block(width: int, depth: int) -> Model:
    """[B, H, W, C] -> [B, H // 2, W // 2, width]"""
    norm = batch_norm(momentum=0.6, scale=False)
    layer = conv(width, 3, bias=False, kernel_init=_identity_first)
    halve: tuple[Model | Callable, ...] = (layer, max_pool(2), norm, gelu)
    if depth == 2:
        return chain(*halve, layer, norm, gelu)
    return chain(*halve, named("residual", skip(chain(layer, norm, gelu, layer, norm), add)), gelu)


def _identity_first(key, shape, dtype):
    """A kernel [3, 3, C, O] whose first C outputs are the inputs themselves; the others are uniform, as PyTorch's."""
    bound = np.prod(shape[:3]) ** -0.5
    kernel = jax.random.uniform(key, shape, dtype, -bound, bound)
    same = min(shape[2:])
    return kernel.at[..., :same].set(jnp.zeros(shape, dtype).at[1, 1, :same, :same].set(jnp.eye(same))[..., :same])


def _whitening() -> Model:
    """[B, H, W, C] -> [B, H - 1, W - 1, 8 C]: the components of each 2 x 2 patch and their negatives, of variance one.

    Jordan measures the components on the training images. Over standardised photographs they are, close enough, the
    Haar transform of the pixels times opponent colours, with these variances, measured on CIFAR-10's.
    """
    haar = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 2  # [component, pixel]
    colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])  # [component, RGB]
    variance, share = np.array([10.0, 0.4, 0.34, 0.055]), np.array([1.0, 0.075, 0.017])

    def kernel(key, shape, dtype):
        rgb = shape[2] == 3
        axes, spread = (colours, np.outer(variance, share)) if rgb else (np.eye(shape[2]), variance[:, None])
        components = np.einsum("sp,oc,so->pcso", haar, axes, np.broadcast_to(spread, (4, len(axes))) ** -0.5)
        half = components.reshape(2, 2, shape[2], -1)
        return jnp.asarray(np.concatenate([half, -half], -1), dtype)

    def layer(x):
        return conv(8 * x.shape[-1], 2, padding="VALID", kernel_init=kernel)

    def init(key, spec):
        return layer(spec).init(key, spec)

    def apply(params, state, x, *, key=None, train=False):
        return layer(x).apply(params, state, x, key=key, train=train)

    return Model(init, apply)
