"""ResNet, convolutions that learn what to add to their input. He et al. 2015, arXiv:1512.03385."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import add
from typing import Literal

import jax
from jax.nn import initializers, relu

from .core import Model, chain, named, of_images, skip
from .layers import batch_norm, conv, dense, global_avg_pool, max_pool

fan_out = initializers.variance_scaling(2.0, "fan_out", "normal")  # He et al. 2015, arXiv:1502.01852, eq. 14

# Table 1: blocks of each stage, and whether a block is a bottleneck.
STAGES = {18: ((2, 2, 2, 2), False), 34: ((3, 4, 6, 3), False), 50: ((3, 4, 6, 3), True), 101: ((3, 4, 23, 3), True)}


@dataclass(frozen=True)
class ResNet:
    """images [B, H, W, C] -> logits [B, classes].

    For 1000 classes of RGB images, 11,689,512 (18 layers), 21,797,672 (34), 25,557,032 (50) and 44,549,160 (101)
    parameters, in stem, stage1 to stage4 of block1, block2, ..., and head. A bottleneck strides in its 3 x 3
    convolution, as torchvision's does ("v1.5"), not in the first 1 x 1 as the paper's.
    Raises ValueError for another depth or stem.
    """

    depth: Literal[18, 34, 50, 101] = 50
    """layers with weights"""
    classes: int = 1000
    """classes to tell apart"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """imagenet: 7 x 7 at stride 2 and a pool; small: 3 x 3 at stride 1 without one, for 32 x 32 pixels"""
    zero_scale: bool = False
    """each block starts as the identity, its last scale at 0. Goyal et al. 2017, arXiv:1706.02677, section 5.1"""

    def build(self) -> Model:
        if self.depth not in STAGES:
            raise ValueError(f"ResNet has {', '.join(map(str, STAGES))} layers, not {self.depth}")
        if self.stem not in ("imagenet", "small"):
            raise ValueError(f"the stem is 'imagenet' or 'small', not '{self.stem}'")
        blocks, bottleneck = STAGES[self.depth]
        stages = [
            named(f"stage{i + 1}", stage(n, 64 * 2**i, min(i, 1) + 1, bottleneck, self.zero_scale))
            for i, n in enumerate(blocks)
        ]
        return of_images(
            chain(
                named("stem", imagenet_stem() if self.stem == "imagenet" else small_stem()),
                *stages,
                global_avg_pool,
                named("head", dense(self.classes)),
            )
        )


def imagenet_stem() -> Model:
    """[B, H, W, C] -> [B, H/4, W/4, 64]"""
    return chain(convolution(64, 7, 2), batch_norm(), relu, max_pool(3, 2, padding=1))


def small_stem() -> Model:
    """[B, H, W, C] -> [B, H, W, 64]"""
    return chain(convolution(64, 3), batch_norm(), relu)


def stage(blocks: int, width: int, stride: int, bottleneck: bool, zero_scale: bool) -> Model:
    """[B, H, W, C] -> [B, H/stride, W/stride, width or, of bottlenecks, 4 width]: the first block strides."""
    body = bottleneck_body if bottleneck else basic_body
    first = body(width, stride, zero_scale)
    if bottleneck or stride > 1:
        first = projected(first, chain(convolution(4 * width if bottleneck else width, 1, stride), batch_norm()))
    else:
        first = skip(first, add)
    others = [skip(body(width, 1, zero_scale), add) for _ in range(blocks - 1)]
    layers: list[Model | Callable] = []
    for i, block in enumerate([first, *others]):
        layers += [named(f"block{i + 1}", block), relu]
    return chain(*layers)


def projected(body: Model, shortcut: Model) -> Model:
    """shortcut(x) + body(x), where the shapes of x and body(x) differ. params: the body's, and shortcut."""

    def init(key, spec):
        keys = jax.random.split(key)
        (params, state), around = body.init(keys[0], spec), shortcut.init(keys[1], spec)
        return params | {"shortcut": around[0]}, state | {"shortcut": around[1]}

    def apply(params, state, x, *, key=None, train=False):
        y, after = body.apply(params, state, x, train=train)
        with jax.named_scope("shortcut"):
            around, around_after = shortcut.apply(params["shortcut"], state["shortcut"], x, train=train)
        return around + y, after | {"shortcut": around_after}

    return Model(init, apply)


def basic_body(width: int, stride: int, zero_scale: bool) -> Model:
    return chain(
        convolution(width, 3, stride), batch_norm(), relu,
        convolution(width, 3), last_norm(zero_scale),
    )  # fmt: skip


def bottleneck_body(width: int, stride: int, zero_scale: bool) -> Model:
    return chain(
        convolution(width, 1), batch_norm(), relu,
        convolution(width, 3, stride), batch_norm(), relu,
        convolution(4 * width, 1), last_norm(zero_scale),
    )  # fmt: skip


def convolution(features: int, kernel: int, stride: int = 1) -> Model:
    return conv(features, kernel, stride=stride, padding=kernel // 2, bias=False, kernel_init=fan_out)


def last_norm(zero_scale: bool) -> Model:
    return batch_norm(scale_init=initializers.zeros if zero_scale else initializers.ones)
