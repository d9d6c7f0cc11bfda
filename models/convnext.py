"""ConvNeXt: a residual network drawn like a Transformer. Liu et al. 2022, arXiv:2201.03545."""

from dataclasses import dataclass
from operator import add
from typing import Literal

from jax.nn.initializers import truncated_normal

from .core import Model, chain, named, of_images, skip
from .layers import conv, dense, exact_gelu, global_avg_pool, layer_norm, layer_scale, stochastic_depth

normal = truncated_normal(0.02 / 0.87962566)  # of deviation 0.02 once it is cut off at two of its own


@dataclass(frozen=True)
class ConvNeXt:
    """images [B, H, W, C] -> logits [B, classes].

    The default is ConvNeXt-T, 28,589,128 parameters; a stage of blocks for each depth, and half the resolution from one
    stage to the next. Raises ValueError for another number of depths than of widths, another stem, images too small for
    the downsampling and a stochastic depth outside [0, 1).
    """

    classes: int = 1000
    """classes to tell apart"""
    depths: tuple[int, ...] = (3, 3, 9, 3)
    """blocks of each stage"""
    widths: tuple[int, ...] = (96, 192, 384, 768)
    """channels of each stage"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """imagenet: patches of 4 x 4 pixels; small: of 2 x 2, for images of 32 x 32 (the last of four stages sees 2 x 2)"""
    layer_scale: float = 1e-6
    """what each channel of a block's branch is multiplied with at first"""
    stochastic_depth: float = 0.0
    """probability of dropping the last block's branch in training; it grows linearly with the depth"""

    def build(self) -> Model:
        if len(self.depths) != len(self.widths):
            raise ValueError(f"{len(self.depths)} depths and {len(self.widths)} widths: give each stage one of both")
        if self.stem not in ("imagenet", "small"):
            raise ValueError(f"the stem is 'imagenet' or 'small', not '{self.stem}'")
        stochastic_depth(self.stochastic_depth)  # raises for what is no rate; the first block's is always 0
        patch, blocks, stages = {"imagenet": 4, "small": 2}[self.stem], 0, []
        for n, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            if n == 0:
                entry = named(
                    "stem", chain(conv(width, patch, stride=patch, padding="VALID", kernel_init=normal), norm())
                )
            else:
                entry = named(
                    f"downsample{n}", chain(norm(), conv(width, 2, stride=2, padding="VALID", kernel_init=normal))
                )
            rates = [self.stochastic_depth * (blocks + i) / max(sum(self.depths) - 1, 1) for i in range(depth)]
            stage = chain(
                *(named(f"block{i + 1}", block(width, self.layer_scale, rate)) for i, rate in enumerate(rates))
            )
            stages += [entry, named(f"stage{n + 1}", stage)]
            blocks += depth
        return of_images(
            chain(*stages, global_avg_pool, norm(), named("head", dense(self.classes, kernel_init=normal)))
        )


def block(width: int, scale: float, rate: float) -> Model:
    """x + branch(x), figure 4: [B, H, W, C] -> [B, H, W, C]. The parameters of the branch are the block's."""
    branch = chain(
        conv(width, 7, groups=width, kernel_init=normal),
        norm(),
        dense(4 * width, kernel_init=normal),
        exact_gelu,
        dense(width, kernel_init=normal),
        layer_scale(scale),
        stochastic_depth(rate),
    )
    return skip(branch, add)


def norm() -> Model:
    return layer_norm(epsilon=1e-6)
