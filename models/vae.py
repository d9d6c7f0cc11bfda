"""Variational autoencoders: codes are distributions. Kingma and Welling 2013, arXiv:1312.6114.

The dense network is that of Burda et al. 2015, arXiv:1509.00519, with one stochastic layer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import relu

from .autoencoder import Shape, autoencoder, dense_onto, image_decoder, images_in_quarters, shape_of_images
from .core import Model, Params, chain, named, need_key
from .layers import activation, conv, dense, flatten, he_normal, max_pool


class Posterior(NamedTuple):
    """What a code may be, given an example: a normal distribution with independent components."""

    mean: jax.Array  # [B, latent]
    log_variance: jax.Array  # [B, latent]


class VAEOutput(NamedTuple):
    """What a variational autoencoder's `apply` gives."""

    output: jax.Array  # of the input's shape: logits that a pixel is 1, or means, as the task's likelihood has it
    mean: jax.Array  # of the posterior, [B, latent]
    log_variance: jax.Array  # of the posterior, [B, latent]


class VAEModel(NamedTuple):
    """The contract's two functions, whose output is a `VAEOutput`, and three more.

    apply(params, state, x, *, key=None, train=False): with a key, one for the batch or one for each example [B], a code
        is drawn from the posterior; without one it is the mean, which is an error in training.
    encode(params, state, x, *, train=False) -> Posterior
    decode(params, state, code [B, latent], *, train=False) -> output [B, ...]
    sample(params, state, key, n) -> output [n, ...] of codes drawn from the prior, the standard normal distribution
    """

    init: Callable
    apply: Callable
    encode: Callable
    decode: Callable
    sample: Callable


@dataclass(frozen=True)
class VAE:
    """examples [B, ...] -> output [B, ...], mean and log_variance [B, latent], by dense layers.

    params: {"encoder": dense1, ..., posterior; "decoder": dense1, ..., output}; the posterior's first half are means.
    Raises ValueError for a latent or a width below 1, for an unknown activation, and for training without a key.
    """

    latent: int = 50
    """numbers in the code"""
    widths: tuple[int, ...] = (200, 200)
    """units of the encoder's hidden layers; the decoder has them in reverse"""
    activation: str = "tanh"
    """nonlinearity after each hidden layer: relu, gelu, tanh, sigmoid, ..."""

    def build(self) -> VAEModel:
        encoder = chain(flatten, *self._hidden(self.widths), posterior(self.latent))
        return variational(encoder, self._decoder, lambda params: params["output"]["bias"].shape, self.latent)

    def _decoder(self, shape: Shape) -> Model:
        return chain(*self._hidden(self.widths[::-1]), named("output", dense_onto(shape)))

    def _hidden(self, widths: tuple[int, ...]) -> list[Model | Callable]:
        pairs = [(dense(width), activation(self.activation)) for width in widths]
        return [layer for pair in pairs for layer in pair]


@dataclass(frozen=True)
class ConvVAE:
    """images [B, H, W, C] -> output [B, H, W, C], mean and log_variance [B, latent], by convolutions.

    params: {"encoder": conv1, conv2, posterior; "decoder": start, up1, conv1, up2, output}.
    Raises ValueError where 4 does not divide H and W, for a latent or a width below 1, and for training without a key.
    """

    latent: int = 50
    """numbers in the code"""
    width: int = 16
    """channels of the outer level; the inner one has twice as many"""

    def build(self) -> VAEModel:
        encoder = chain(
            images_in_quarters,
            conv(self.width, 3, kernel_init=he_normal), relu, max_pool(2),
            conv(2 * self.width, 3, kernel_init=he_normal), relu, max_pool(2),
            flatten, posterior(self.latent),
        )  # fmt: skip
        return variational(encoder, partial(image_decoder, self.width), shape_of_images, self.latent)


def variational(
    encoder: Model, decoder: Callable[[Shape], Model], shape_of: Callable[[Params], Shape], latent: int
) -> VAEModel:
    """Two networks without state as one. The encoder gives a `Posterior` of [B, latent], `decoder(shape)` examples of
    that shape, which `shape_of` tells from the decoder's parameters."""

    init, _, encode, decode = autoencoder(encoder, decoder, shape_of)

    def apply(params, state, x, *, key=None, train=False):
        if train:
            need_key(key, "a variational autoencoder")
        mean, log_variance = encode(params, state, x, train=train)
        code = mean
        if key is not None:
            code = mean + jnp.exp(log_variance / 2) * draws(jax.random.normal, key, mean.shape).astype(mean.dtype)
        return VAEOutput(decode(params, state, code, train=train), mean, log_variance), state

    def sample(params, state, key, n):
        return decode(params, state, jax.random.normal(key, (n, latent)))

    return VAEModel(init, apply, encode, decode, sample)


def posterior(latent: int) -> Model:
    """[B, D] -> `Posterior` of [B, latent] each. params: kernel, bias. Raises ValueError for a latent below 1."""
    if latent < 1:
        raise ValueError(f"a code has at least 1 number, not {latent}: set latent")
    both = dense(2 * latent)

    def apply(params, state, x, *, key=None, train=False):
        y, state = both.apply(params, state, x)
        return Posterior(y[:, :latent], y[:, latent:]), state

    return named("posterior", Model(both.init, apply))


def draws(function: Callable, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Random numbers [B, ...] by `function(key, shape)`, from one key or from a key for each example [B]."""
    of_one = 0 if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else 1  # axes; `jax.random.PRNGKey` has one
    if key.ndim == of_one:
        return function(key, shape)
    return jax.vmap(lambda key: function(key, shape[1:]))(key)
