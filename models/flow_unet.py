"""A U-Net that is told time and class, for flows and diffusion. Dhariwal and Nichol 2021, arXiv:2105.05233."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import silu

from .core import Model, as_float, as_model, chain, named, param_dtype, skip
from .flows import as_noisy
from .layers import conv, conv_transpose, dense, dropout, embedding, group_norm, self_attention

GROUPS = 8  # of the normalisation
FASTEST = 1000.0  # radians that the fastest wave of the time embedding turns from noise to data


class Told(NamedTuple):
    """What goes through the network's layers."""

    x: Array  # [B, H, W, C]
    condition: Array  # [B, D], of time and class


@dataclass(frozen=True)
class FlowUNet:
    """`Noisy` images [B, H, W, C], time [B] and label [B] -> velocities [B, H, W, C].

    An array of images alone stands for images at time 1 without a class. A level is `blocks` residual blocks, another
    level on half the image, added to what went around it, and `blocks` more; at the innermost there is attention
    between its two. Blocks are told time and class by a scale and a shift of their normalised channels.
    params: {"condition": time1, time2, label; "patches", "level", "norm", "output"}.
    Raises ValueError where patch * 2^depth does not divide H and W, and for settings that cannot be.
    """

    classes: int = 10
    """classes that it can be told, beside none; 0: it is told no class"""
    width: int = 32
    """channels of the outermost level, a multiple of 8; each level inside has twice as many"""
    depth: int = 1
    """how often the image is halved"""
    blocks: int = 1
    """residual blocks on each way of a level"""
    patch: int = 1
    """side of the squares of pixels that the outermost level takes as one: 2 computes a quarter"""
    heads: int = 2
    """of the attention at the innermost level; 0: without attention"""
    dropout: float = 0.0
    """probability of zeroing a value inside a block in training"""

    def build(self) -> Model:
        if min(self.depth, self.heads, self.classes) < 0 or min(self.blocks, self.patch) < 1:
            raise ValueError("classes, depth and heads are at least 0, blocks and patch at least 1")
        if self.width < GROUPS or self.width % GROUPS:
            raise ValueError(f"width is a multiple of {GROUPS}, not {self.width}")
        block(self.dropout)

        def init(key, spec):
            return self._onto(as_noisy(spec).x.shape).init(key, spec)

        def apply(params, state, x, *, key=None, train=False):
            return self._onto(as_noisy(x).x.shape).apply(params, state, x, key=key, train=train)

        return Model(init, apply)

    def _onto(self, shape: tuple[int, ...]) -> Model:
        """The network for images of this shape, [B, H, W, C]."""
        multiple = self.patch * 2**self.depth
        if len(shape) != 4 or shape[1] % multiple or shape[2] % multiple:
            raise ValueError(
                f"FlowUNet takes images [B, H, W, C] whose height and width are multiples of {multiple}, not {shape}"
            )
        return chain(
            named("condition", condition(self.classes, 4 * self.width)),
            named("patches", of_x(conv(self.width, self.patch, stride=self.patch))),
            named("level", self._level(self.width, self.depth)),
            lambda told: told.x,
            named("norm", group_norm(GROUPS)), silu,
            named("output", conv_transpose(shape[-1], self.patch, stride=self.patch)),
        )  # fmt: skip

    def _level(self, width: int, depth: int) -> Model:
        """[B, H, W, width] -> [B, H, W, width]."""
        before, after = (chain(*(block(self.dropout) for _ in range(self.blocks))) for _ in range(2))
        if depth:
            down, up = (of_x(layer) for layer in (conv(2 * width, 2, stride=2), conv_transpose(width, 2, stride=2)))
            level = named("level", self._level(2 * width, depth - 1))
            inner = [named("inner", skip(chain(named("down", down), level, named("up", up)), added))]
        else:
            looked = chain(group_norm(GROUPS), over_positions(self_attention(self.heads))) if self.heads else None
            inner = [named("attention", skip(of_x(looked), added))] if looked else []
        return chain(named("before", before), *inner, named("after", after))


def condition(classes: int, features: int) -> Model:
    """`Noisy` or an array -> `Told`. params: time1, time2 and, with classes, label [classes + 1, features]."""
    time = chain(named("time1", dense(features)), silu, named("time2", dense(features)))
    label = embedding(classes + 1, features) if classes else None  # the last row is that of no class

    def init(key, spec):
        keys = jax.random.split(key)
        waves = jax.ShapeDtypeStruct((1, features), param_dtype(as_noisy(spec).x))
        params = time.init(keys[0], waves)[0]
        return params | ({"label": label.init(keys[1], waves)[0]} if label else {}), {}

    def apply(params, state, x, *, key=None, train=False):
        x, t, labels = as_noisy(x)
        x = as_float(x)
        told = time.apply(params, {}, waves_of(t, features).astype(x.dtype))[0]
        if label:
            with jax.named_scope("label"):
                told = told + label.apply(params["label"], {}, jnp.where(labels < 0, classes, labels))[0]
        return Told(x, told), {}

    return Model(init, apply)


def waves_of(time: Array, features: int) -> Array:
    """[B] -> [B, features] float32: cosines and sines of time, the slowest turning by a tenth of a radian to 1."""
    speed = jnp.exp(jnp.linspace(math.log(0.1), math.log(FASTEST), features // 2))
    angle = time.astype(jnp.float32)[:, None] * speed
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], 1)


def block(rate: float) -> Model:
    """`Told` -> `Told`: x + conv(silu(scale * norm(conv(silu(norm(x)))) + shift)), of as many channels."""

    def init(key, spec):
        return body(spec.x.shape[-1]).init(key, spec)

    def apply(params, state, x, *, key=None, train=False):
        return body(x.x.shape[-1]).apply(params, state, x, key=key, train=train)

    def body(channels: int) -> Model:
        layers = chain(
            of_x(group_norm(GROUPS)), of_x(silu), of_x(conv(channels, 3)),
            of_x(group_norm(GROUPS, scale=False, bias=False)), modulated(), of_x(silu), of_x(drop),
            of_x(conv(channels, 3)),
        )  # fmt: skip
        return skip(layers, added)

    drop = dropout(rate)
    return Model(init, apply)


def modulated() -> Model:
    """`Told` -> `Told`: x (1 + scale) + shift, both linear in the condition. params: kernel [D, 2 C], bias [2 C]."""

    def init(key, spec):
        return dense(2 * spec.x.shape[-1]).init(key, spec.condition)

    def apply(params, state, told, *, key=None, train=False):
        both, _ = dense(2 * told.x.shape[-1]).apply(params, {}, silu(told.condition))
        scale, shift = jnp.split(both[:, None, None], 2, -1)
        return told._replace(x=told.x * (1 + scale) + shift), {}

    return Model(init, apply)


def over_positions(layer: Model) -> Model:
    """A layer for sequences [B, T, C], on the positions of [B, H, W, C]."""

    def init(key, spec):
        return layer.init(
            key, jax.ShapeDtypeStruct((spec.shape[0], math.prod(spec.shape[1:3]), spec.shape[3]), spec.dtype)
        )

    def apply(params, state, x, *, key=None, train=False):
        positions = x.reshape(x.shape[0], math.prod(x.shape[1:3]), x.shape[-1])
        y, state = layer.apply(params, state, positions, key=key, train=train)
        return y.reshape(x.shape), state

    return Model(init, apply)


def of_x(layer: Model | Callable) -> Model:
    """A layer on the x of `Told`; the condition passes by."""
    layer = as_model(layer)

    def init(key, spec):
        return layer.init(key, spec.x)

    def apply(params, state, told, *, key=None, train=False):
        y, state = layer.apply(params, state, told.x, key=key, train=train)
        return told._replace(x=y), state

    init.__qualname__ = layer.init.__qualname__  # `chain` names a layer after it
    return Model(init, apply)


def added(a: Told, b: Told) -> Told:
    return a._replace(x=a.x + b.x)
