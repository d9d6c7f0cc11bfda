"""A flow of MNIST's digits in Flax Linen, as in torch_flow.py, with images [B, 28, 28, 1]."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from workloads import FLOW_STEPS, FLOW_WIDTH

CONDITION = 4 * FLOW_WIDTH
NO_CLASS = 10


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, condition):
        width = x.shape[-1]
        scale, shift = jnp.split(nn.Dense(2 * width)(nn.silu(condition))[:, None, None], 2, -1)
        y = nn.Conv(width, (3, 3))(nn.silu(nn.GroupNorm(8, epsilon=1e-5)(x)))
        y = nn.GroupNorm(8, epsilon=1e-5, use_scale=False, use_bias=False)(y) * (1 + scale) + shift
        return x + nn.Conv(width, (3, 3))(nn.silu(y))


class Velocity(nn.Module):
    @nn.compact
    def __call__(self, x, time, label):
        angle = time[:, None] * jnp.exp(jnp.linspace(math.log(0.1), math.log(1000.0), CONDITION // 2))
        waves = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], 1)
        condition = nn.Dense(CONDITION)(nn.silu(nn.Dense(CONDITION)(waves)))
        condition = condition + nn.Embed(NO_CLASS + 1, CONDITION)(label)
        x = Block()(nn.Conv(FLOW_WIDTH, (2, 2), (2, 2))(x), condition)
        inner = Block()(nn.Conv(2 * FLOW_WIDTH, (2, 2), (2, 2))(x), condition)
        flat = nn.GroupNorm(8, epsilon=1e-5)(inner).reshape(len(x), -1, 2 * FLOW_WIDTH)
        inner = inner + nn.MultiHeadDotProductAttention(2)(flat).reshape(inner.shape)
        x = x + nn.ConvTranspose(FLOW_WIDTH, (2, 2), (2, 2))(Block()(inner, condition))
        x = nn.silu(nn.GroupNorm(8, epsilon=1e-5)(Block()(x, condition)))
        return nn.ConvTranspose(1, (2, 2), (2, 2))(x)


class Flow(nn.Module):
    mean: float  # of the pixels, in which white is 255
    std: float

    def setup(self):
        self.velocity = Velocity()

    def __call__(self, x, y, train=False):
        n = len(x)
        spread, start, order, hide = (self.make_rng("dropout") for _ in range(4))
        data, noise = x + jax.random.uniform(spread, x.shape) / self.std, jax.random.normal(start, x.shape)
        time = (jax.random.uniform(order) + jnp.arange(n) / n) % 1
        label = jnp.where(jax.random.uniform(hide, (n,)) < 0.1, NO_CLASS, y)
        share = time[:, None, None, None]
        velocity = self.velocity((1 - share) * noise + share * data, time, label)
        return jnp.square(velocity - (data - noise)).mean()

    def sample(self, key, n: int):
        label, h = jnp.arange(n) % 10, 1 / FLOW_STEPS

        def step(i, x):
            first = self.velocity(x, jnp.full(n, i * h), label)
            second = self.velocity(x + h * first, jnp.full(n, (i + 1) * h), label)
            return x + h / 2 * (first + second)

        return jax.lax.fori_loop(0, FLOW_STEPS, step, jax.random.normal(key, (n, 28, 28, 1)))
