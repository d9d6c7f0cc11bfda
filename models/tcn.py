"""Temporal convolutional network, the rival of recurrent ones. Bai et al. 2018, arXiv:1803.01271.

Its convolutions are causal, and their reach doubles with each block.
"""

from dataclasses import dataclass
from typing import Literal

from jax.nn import relu

from .core import Model, chain, named, residual
from .layers import as_pixels, as_steps, conv, dense, dropout, he_normal, on_values, read_out, weight_norm, zero_padding


@dataclass(frozen=True)
class TCN:
    """sequences [B, T, ...] -> outputs [B, outputs], or [B, T, outputs] of every step: logits, or numbers to predict.

    A step sees the 1 + 2 (kernel - 1) (2^blocks - 1) steps up to it. Sequences of different lengths come as
    `Padded(x, lengths)`. An image is read row by row. params: block1, block2, ..., head. The default is the paper's for
    MNIST pixel by pixel. Raises ValueError for an unknown read-out, and for sizes below 1.
    """

    outputs: int = 10
    """classes to tell apart, or numbers to predict"""
    width: int = 25
    """channels of a block"""
    blocks: int = 8
    """residual blocks; the convolutions of each reach twice as far back as those before"""
    kernel: int = 7
    """steps in the window of a convolution"""
    read: Literal["last", "mean", "every"] = "last"
    """what the head sees: the last step, the mean, or every step by itself"""
    pixels: bool = False
    """read images [B, H, W, C] pixel by pixel, in H W steps"""
    dropout: float = 0.05
    """probability of zeroing a channel at all steps in training"""

    def build(self) -> Model:
        if self.blocks < 1:
            raise ValueError(f"a temporal convolutional network has at least 1 block, not {self.blocks}")
        blocks = [temporal_block(self.width, self.kernel, 2**n, self.dropout, first=n == 0) for n in range(self.blocks)]
        return chain(
            as_pixels if self.pixels else as_steps,
            zero_padding,
            *(named(f"block{n}", on_values(block)) for n, block in enumerate(blocks, 1)),
            read_out(self.read),
            named("head", dense(self.outputs)),
        )


def temporal_block(width: int, kernel: int, dilation: int, rate: float, first: bool) -> Model:
    """relu(x + F(x)), figure 1 (b): [B, T, C] -> [B, T, width]. A 1 x 1 convolution widens the first block's x."""
    body = chain(
        causal(width, kernel, dilation), relu, dropout(rate, shared=(1,)),
        causal(width, kernel, dilation), relu, dropout(rate, shared=(1,)),
    )  # fmt: skip
    return chain(residual(body, conv(width, 1) if first else None), relu)


def causal(width: int, kernel: int, dilation: int) -> Model:
    """A convolution that sees no later step: all its padding comes before the first."""
    before = (kernel - 1) * dilation
    layer = conv(width, kernel, dilation=dilation, padding=[(before, 0)], kernel_init=he_normal)
    return weight_norm(layer)
