"""Sequences of different lengths in one array, and what reads them."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import Model, as_float, as_model


class Padded(NamedTuple):
    """Sequences of different lengths: of x [B, T, ...] the first `lengths` [B] steps are real, the rest is padding.

    Where a network for sequences takes an array [B, T, ...], it takes this as well, and what stands in the padding then
    changes no output and no gradient. Networks raise ValueError for lengths that are no integers [B] or lie outside of
    0 to T; under jit, where their values are not known, those below count as 0 and those above as T.
    """

    x: Array
    lengths: Array  # integers from 0 to T


Steps = Array | Padded


def values(x: Steps) -> Array:
    """[B, T, ...], the array without its lengths."""
    return x.x if isinstance(x, Padded) else x


def real_steps(x: Steps) -> Array | None:
    """[B, T], true at the real steps; None for an array, which has no others."""
    if not isinstance(x, Padded):
        return None
    _check(x)
    return jnp.arange(x.x.shape[1]) < x.lengths[:, None]


def _check(x: Padded) -> None:
    (count, steps), lengths = x.x.shape[:2], x.lengths
    dtype, shape = getattr(lengths, "dtype", type(lengths).__name__), np.shape(lengths)
    if shape != (count,) or not hasattr(lengths, "dtype") or not np.issubdtype(dtype, np.integer):
        raise ValueError(
            f"the lengths of {count} sequences are an array [{count}] of integers, not {dtype} {list(shape)}"
        )
    if isinstance(lengths, jax.core.Tracer):
        return
    known = np.asarray(lengths)  # on the host, since within jit any operation of JAX is traced
    if (wrong := (known < 0) | (known > steps)).any():
        raise ValueError(f"sequence {wrong.argmax()} has {known[wrong.argmax()]} real steps, and its array has {steps}")


def zero_padding(x: Steps) -> Steps:
    """The same with zeros in the padding, so that not even a NaN gets out of it."""
    if not isinstance(x, Padded):
        return x
    real = jnp.expand_dims(jnp.asarray(real_steps(x)), tuple(range(2, x.x.ndim)))
    return x._replace(x=jnp.where(real, x.x, 0))


def on_values(layer: Model | Callable) -> Model:
    """A layer that looks at no later step, such as `dense`, on an array or on the x of `Padded`; lengths pass by."""
    layer = as_model(layer)

    def init(key, spec):
        return layer.init(key, values(spec))

    def apply(params, state, x, *, key=None, train=False):
        y, state = layer.apply(params, state, values(x), key=key, train=train)
        return (x._replace(x=y) if isinstance(x, Padded) else y), state

    init.__qualname__ = layer.init.__qualname__  # `chain` names a layer after it
    return Model(init, apply)


def as_steps(x: Steps) -> Steps:
    """[B, T, ...] -> [B, T, D]: all that belongs to a step as one vector. An image is read row by row."""
    shape = values(x).shape
    if len(shape) < 2 or shape[1] < 1:
        raise ValueError(f"a sequence is [B, T, ...] with at least one step, not an array of shape {shape}")
    y = values(x).reshape(*shape[:2], math.prod(shape[2:]))
    return x._replace(x=y) if isinstance(x, Padded) else y


def as_pixels(x: Steps) -> Steps:
    """[B, H, W, C] -> [B, H W, C]: an image pixel by pixel, row after row. Raises ValueError for what is no image."""
    shape = values(x).shape
    if isinstance(x, Padded) or len(shape) != 4 or 0 in shape[1:3]:
        raise ValueError(
            f"pixel by pixel are read images [B, H, W, C] with at least one pixel, not an array of shape {shape}"
        )
    return x.reshape(shape[0], shape[1] * shape[2], shape[3])


def last_step(x: Steps, *, bidirectional: bool = False) -> Array:
    """[B, T, H] -> [B, H], the last real step; of two directions, the second half of the channels at the first step."""
    y = values(x)
    if isinstance(x, Padded):
        last: Any = jnp.clip(x.lengths.astype(jnp.int32) - 1, 0, y.shape[1] - 1)
        forward = jnp.take_along_axis(y, last[:, None, None], 1)[:, 0]
    else:
        forward = y[:, -1]
    half = y.shape[-1] // 2
    return jnp.concatenate([forward[:, :half], y[:, 0, half:]], -1) if bidirectional else forward


def mean_step(x: Steps) -> Array:
    """[B, T, H] -> [B, H], the mean over the real steps, summed in float32."""
    y = as_float(values(zero_padding(x)))
    count = jnp.clip(x.lengths.astype(jnp.int32), 1, y.shape[1])[:, None] if isinstance(x, Padded) else y.shape[1]
    return (y.sum(1, dtype=jnp.promote_types(y.dtype, jnp.float32)) / count).astype(y.dtype)


def read_out(kind: str, *, bidirectional: bool = False) -> Callable:
    """last: `last_step`, mean: `mean_step`, every: all steps, without the lengths. Raises ValueError for another."""
    kinds: dict[str, Callable] = {
        "last": partial(last_step, bidirectional=bidirectional),
        "mean": mean_step,
        "every": values,
    }
    if kind not in kinds:
        raise ValueError(f"the read-out is {', '.join(kinds)}, not '{kind}'")
    return kinds[kind]
