"""U-Net, a network that classifies every pixel: down, up, and across. Ronneberger et al. 2015, arXiv:1505.04597."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax.nn import relu

from .core import Model, chain, named, skip
from .layers import batch_norm, conv, conv_transpose, dropout, he_normal, max_pool


@dataclass(frozen=True)
class UNet:
    """images [B, H, W, C] -> logits [B, H, W, classes].

    A level is two convolutions, another level on the halved image, and two convolutions of both: what comes out of the
    inner level is enlarged by a transposed convolution and concatenated behind what went in. Two things differ from the
    paper: convolutions are padded, so that the output has the input's size (the paper's shrink 572 x 572 pixels to
    388 x 388), and batch norm follows each. Without it (`batch_norm=False`) the network has the paper's 31,030,658
    parameters for greyscale images and two classes.
    Raises ValueError where 2^depth does not divide H and W, and for a depth, width or dropout rate that cannot be.
    """

    classes: int = 2
    """classes to tell apart, pixel by pixel"""
    width: int = 64
    """channels of the outermost level; each level inside has twice as many"""
    depth: int = 4
    """how often the image is halved; 2^depth must divide its height and width"""
    batch_norm: bool = True
    """normalise after each convolution, which then needs no bias"""
    dropout: float = 0.0
    """probability of zeroing a value at the innermost level in training"""

    def build(self) -> Model:
        if self.depth < 0:
            raise ValueError(f"a U-Net's depth is at least 0, not {self.depth}")
        return chain(
            named("input", self._checked),
            *self._level(self.width, self.depth),
            named("logits", conv(self.classes, 1)),
        )

    def _level(self, width: int, depth: int) -> tuple[Model, ...]:
        """[B, H, W, C] -> [B, H, W, width]."""
        if depth == 0:
            return (named("bottom", chain(*self._two_convolutions(width), dropout(self.dropout))),)
        inner = chain(
            max_pool(2),
            *self._level(2 * width, depth - 1),
            named("up", conv_transpose(width, 2, stride=2, kernel_init=he_normal)),
        )
        return (
            named("encode", chain(*self._two_convolutions(width))),
            named("inner", skip(inner, concatenate)),
            named("decode", chain(*self._two_convolutions(width))),
        )

    def _two_convolutions(self, width: int) -> tuple:
        def convolution():
            if self.batch_norm:
                return conv(width, 3, bias=False, kernel_init=he_normal), batch_norm(), relu
            return conv(width, 3, kernel_init=he_normal), relu

        return *convolution(), *convolution()

    def _checked(self, x):
        multiple = 2**self.depth
        if x.ndim != 4 or x.shape[1] % multiple or x.shape[2] % multiple:
            raise ValueError(
                f"a U-Net of depth {self.depth} takes images [B, H, W, C] whose height and width are multiples of "
                f"{multiple}"
            )
        return x


def concatenate(x, y):
    """[..., C1], [..., C2] -> [..., C1 + C2]."""
    return jnp.concatenate([x, y], -1)
