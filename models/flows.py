"""Flows from noise to data along a velocity field. Lipman et al. 2022, arXiv:2210.02747.

Time runs from 0, where all is standard normal noise, to 1, where it is data, on straight paths (Liu et al. 2022,
arXiv:2209.03003): x_t = (1 - t) noise + t data. The field to learn is v(x, t) = E[data - noise | x_t = x]. Here it is a
function (x [B, ...], t []) -> v [B, ...], and what carries noise to data along it, and data back.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax import Array

from .vae import draws

NO_CLASS = -1
Field = Callable[[Array, Array], Array]
Sampler = Literal["heun", "euler", "stochastic"]


class Noisy(NamedTuple):
    """Examples on their way from noise to data: what a network of velocities is given.

    Where one takes an array [B, ...], that stands for data, at time 1 and without a class.
    """

    x: Array  # [B, ...]
    time: Array  # [B], from 0 to 1
    label: Array  # [B], integers: the class, or NO_CLASS


def as_noisy(x: Any) -> Noisy:
    """`Noisy` as it is; an array [B, ...] as data without a class."""
    return x if isinstance(x, Noisy) else Noisy(x, jnp.ones(x.shape[0]), jnp.full(x.shape[0], NO_CLASS))


def guided(apply: Callable, params: Any, state: Any, label: Array, guidance: float = 1.0) -> Field:
    """The field of a network for classes `label` [B]: v(x) + guidance * (v(x | class) - v(x)).

    A guidance of 1 is the plain field of the class and 0 that of no class; more exaggerates what tells the class. Ho
    and Salimans 2022, arXiv:2207.12598; for velocities Zheng et al. 2023, arXiv:2311.13443.
    """

    def velocity(x, t, label):
        return apply(params, state, Noisy(x, jnp.full(x.shape[0], t), label))[0].astype(jnp.float32)

    def field(x, t):
        if guidance == 1:
            return velocity(x, t, label)
        free = velocity(x, t, jnp.full_like(label, NO_CLASS))
        return free if guidance == 0 else free + guidance * (velocity(x, t, label) - free)

    return field


def euler_step(field: Field, x: Array, t: Array, h: Array) -> Array:
    """x(t + h), with an error of h^2."""
    return x + h * field(x, t)


def heun_step(field: Field, x: Any, t: Array, h: Array) -> Any:
    """x(t + h), with an error of h^3: the mean of the velocities at both ends. x may be a tree of arrays."""
    first = field(x, t)
    second = field(jax.tree.map(lambda a, v: a + h * v, x, first), t + h)
    return jax.tree.map(lambda a, v, w: a + h / 2 * (v + w), x, first, second)


def stochastic_step(field: Field, x: Array, t: Array, h: Array, keys: Array) -> Array:
    """x(t + h): back to t - h by fresh noise, and on from there by Heun's method. `keys`: one for each example [B].

    Karras et al. 2022, arXiv:2206.00364, algorithm 2. Scaled by (t - h) / t, examples of time t have as much data as
    those of t - h, and what they lack in noise is added: the distributions are those of the flow, whatever h.
    """
    back = jnp.maximum(t - h, 0)
    scale = back / jnp.maximum(t, h)
    lacking = jnp.sqrt((1 - back) ** 2 - (scale * (1 - t)) ** 2)
    return heun_step(field, scale * x + lacking * draws(jax.random.normal, keys, x.shape), back, t + h - back)


def sample(field: Field, keys: Array, shape: tuple[int, ...], steps: int, sampler: Sampler = "heun") -> Array:
    """Data [B, ...] drawn in equal steps from noise. `keys` [B]: each example is a function of its own alone.

    Raises ValueError for an unknown sampler.
    """
    if sampler not in get_args(Sampler):
        raise ValueError(f"a sampler is {', '.join(get_args(Sampler))}, not '{sampler}'")
    start, after = jax.vmap(jax.random.split, out_axes=1)(keys)
    h = jnp.float32(1 / steps)

    def step(i, x):
        t = i * h
        if sampler == "stochastic":
            return stochastic_step(field, x, t, h, jax.vmap(lambda key: jax.random.fold_in(key, i))(after))
        return (heun_step if sampler == "heun" else euler_step)(field, x, t, h)

    return jax.lax.fori_loop(0, steps, step, draws(jax.random.normal, start, shape))


def log_density(field: Field, x: Array, probe: Array, steps: int) -> Array:
    """log p(x) [B] in nats of data x [B, ...], carried back to noise by Heun's method.

    d log p / dt = -trace(dv/dx) along a path (Chen et al. 2018, arXiv:1806.07366, theorem 1), and probe' (dv/dx) probe
    is an unbiased estimate of the trace for a `probe` [B, ...] of random signs (Grathwohl et al. 2018,
    arXiv:1810.01367). Steps become shorter towards the data, where densities are sharp: t = 1 - (i / steps)^2. It is
    computed in float32, or in float64 where x is.
    """
    dtype, of_example = jnp.promote_types(x.dtype, jnp.float32), tuple(range(1, x.ndim))
    x, probe = x.astype(dtype), probe.astype(dtype)

    def rate(carried, t):
        velocity, along = jax.jvp(lambda x: field(x, t), (carried[0],), (probe,))
        return velocity, (probe * along).sum(of_example)

    def step(i, carried):
        left = jnp.array([i, i + 1], dtype) / steps  # 1 - t is the square of it
        begin, end = 1 - left**2
        return heun_step(rate, carried, begin, end - begin)

    noise, lost = jax.lax.fori_loop(0, steps, step, (x, jnp.zeros(len(x), dtype)))
    return -0.5 * (jnp.square(noise) + math.log(2 * math.pi)).sum(of_example) + lost
