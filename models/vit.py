"""Vision Transformer: an image as a sequence of patches. Dosovitskiy et al. 2021, arXiv:2010.11929."""

from dataclasses import dataclass

import jax
from jax.nn.initializers import xavier_uniform

from .core import Model, chain, named, of_images
from .layers import (
    class_token,
    dense,
    dropout,
    exact_gelu,
    layer_norm,
    patch_embedding,
    position_embedding,
    self_attention,
    stochastic_depth,
)


@dataclass(frozen=True)
class ViT:
    """images [B, H, W, C] -> logits [B, classes].

    The default is ViT-S/16 of Touvron et al. 2021, arXiv:2012.12877, 22,050,664 parameters for images of 224 x 224;
    `ViT(width=768, heads=12)` is the paper's ViT-B/16, 86,567,656. The number of positions is learned with the image's
    size. Raises ValueError for images that patches do not divide, a width that heads do not, and rates outside [0, 1).
    """

    patch: int = 16
    """side of a patch in pixels"""
    width: int = 384
    """channels of a token; the hidden layer of a block has four times as many"""
    depth: int = 12
    """blocks"""
    heads: int = 6
    """attention heads, which share the width"""
    classes: int = 1000
    """classes to tell apart"""
    dropout: float = 0.0
    """probability of zeroing a channel in training, after each dense layer and the positions"""
    stochastic_depth: float = 0.0
    """probability of dropping the last block's branches in training; it grows linearly with the depth"""

    def build(self) -> Model:
        if self.depth < 1:
            raise ValueError(f"a ViT has at least 1 block, not {self.depth}")
        stochastic_depth(self.stochastic_depth)  # raises for what is no rate; the first block's is always 0
        rates = [self.stochastic_depth * n / max(self.depth - 1, 1) for n in range(self.depth)]
        blocks = [encoder_block(self.width, self.heads, self.dropout, rate) for rate in rates]
        return of_images(chain(
            patch_embedding(self.width, self.patch),
            class_token(), position_embedding(), dropout(self.dropout),
            *(named(f"block{n + 1}", block) for n, block in enumerate(blocks)),
            first_token, layer_norm(epsilon=1e-6),  # of one position: each is normalised by itself
            named("head", dense(self.classes)),
        ))  # fmt: skip


def encoder_block(width: int, heads: int, rate: float, depth_rate: float) -> Model:
    """z' = z + MSA(LN(z)), z'' = z' + MLP(LN(z')), equations 2 and 3: [B, T, D] -> [B, T, D].

    params: norm1, attention, norm2 and mlp.
    """
    norm, drop, drop_branch = layer_norm(epsilon=1e-6), dropout(rate), stochastic_depth(depth_rate)
    wide, narrow = (dense(features, kernel_init=xavier_uniform()) for features in (4 * width, width))
    mlp = chain(wide, exact_gelu, drop, narrow)
    branches = (
        chain(named("norm1", norm), named("attention", self_attention(heads)), drop, drop_branch),
        chain(named("norm2", norm), named("mlp", mlp), drop, drop_branch),
    )

    def init(key, spec):
        keys = jax.random.split(key)
        return {name: p for b, k in zip(branches, keys, strict=True) for name, p in b.init(k, spec)[0].items()}, {}

    def apply(params, state, x, *, key=None, train=False):
        keys = (None, None) if key is None else jax.random.split(key)
        for branch, k in zip(branches, keys, strict=True):
            y, _ = branch.apply(params, {}, x, key=k, train=train)
            x = x + y
        return x, {}

    return Model(init, apply)


def first_token(x):
    """[B, T, D] -> [B, D]: the class token."""
    return x[:, 0]
