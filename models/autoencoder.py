"""Autoencoders: from an input to a short code and back. Hinton and Salakhutdinov 2006, doi:10.1126/science.1127647.

The convolutional one: Masci et al. 2011, doi:10.1007/978-3-642-21735-7_7.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import relu

from .core import Model, Params, chain, main_output, named, output_spec, param_dtype
from .layers import activation, conv, conv_transpose, dense, flatten, he_normal, lecun_normal, max_pool
from .layers.dense import add, product

Shape = tuple[int, ...]


class AutoencoderOutput(NamedTuple):
    """What an autoencoder's `apply` gives."""

    reconstruction: jax.Array  # of the input's shape
    code: jax.Array  # [B, latent]


class AutoencoderModel(NamedTuple):
    """The contract's two functions, whose output is an `AutoencoderOutput`, and the network's two halves.

    encode(params, state, x, *, train=False) -> code [B, latent]
    decode(params, state, code, *, train=False) -> reconstruction, of the shape of the inputs that `init` was told
    """

    init: Callable
    apply: Callable
    encode: Callable
    decode: Callable


@dataclass(frozen=True)
class Autoencoder:
    """examples [B, ...] -> reconstruction [B, ...] and code [B, latent], by dense layers.

    The decoder has the encoder's hidden layers in reverse. params: {"encoder": dense1, ..., code; "decoder": dense1,
    ..., output}. Raises ValueError for a latent or a width below 1 and for an unknown activation.
    """

    latent: int = 32
    """numbers in the code"""
    widths: tuple[int, ...] = (512, 256)
    """units of the encoder's hidden layers; the decoder has them in reverse"""
    activation: str = "relu"
    """nonlinearity after each hidden layer: relu, gelu, tanh, sigmoid, ..."""
    nonnegative: bool = False
    """pass the code through a ReLU, so that a sparse one has zeros"""

    def build(self) -> AutoencoderModel:
        encoder = chain(flatten, *self._hidden(self.widths), code(self.latent, self.nonnegative))
        return autoencoder(encoder, self._decoder, lambda params: params["output"]["bias"].shape)

    def _decoder(self, shape: Shape) -> Model:
        return chain(*self._hidden(self.widths[::-1]), named("output", dense_onto(shape)))

    def _hidden(self, widths: tuple[int, ...]) -> list[Model | Callable]:
        pairs = [(dense(width, kernel_init=he_normal), activation(self.activation)) for width in widths]
        return [layer for pair in pairs for layer in pair]


@dataclass(frozen=True)
class ConvAutoencoder:
    """images [B, H, W, C] -> reconstruction [B, H, W, C] and code [B, latent], by convolutions.

    The encoder halves the image twice by max-pooling, the decoder enlarges it twice by transposed convolutions.
    params: {"encoder": conv1, conv2, code; "decoder": start, up1, conv1, up2, output}.
    Raises ValueError where 4 does not divide H and W, and for a latent or a width below 1.
    """

    latent: int = 32
    """numbers in the code"""
    width: int = 16
    """channels of the outer level; the inner one has twice as many"""
    nonnegative: bool = False
    """pass the code through a ReLU, so that a sparse one has zeros"""

    def build(self) -> AutoencoderModel:
        encoder = chain(
            images_in_quarters,
            conv(self.width, 3, kernel_init=he_normal), relu, max_pool(2),
            conv(2 * self.width, 3, kernel_init=he_normal), relu, max_pool(2),
            flatten, code(self.latent, self.nonnegative),
        )  # fmt: skip
        return autoencoder(encoder, partial(image_decoder, self.width), shape_of_images)


def autoencoder(
    encoder: Model, decoder: Callable[[Shape], Model], shape_of: Callable[[Params], Shape]
) -> AutoencoderModel:
    """Two networks without state as one. `decoder(shape)` gives back examples of that shape, and `shape_of` tells it
    from the decoder's parameters, so that a code is all that decoding needs."""

    def init(key, spec):
        keys = jax.random.split(key)
        params, state = encoder.init(keys[0], spec)
        code = main_output(output_spec(encoder, params, state, spec))
        return {"encoder": params, "decoder": decoder(spec.shape[1:]).init(keys[1], code)[0]}, {}

    def apply(params, state, x, *, key=None, train=False):
        code = encode(params, state, x, train=train)
        return AutoencoderOutput(decode(params, state, code, train=train), code), state

    def encode(params, state, x, *, train=False):
        with jax.named_scope("encoder"):
            return encoder.apply(params["encoder"], {}, x, train=train)[0]

    def decode(params, state, code, *, train=False):  # in training a convolution's gradient has a form of its own
        with jax.named_scope("decoder"):
            return decoder(shape_of(params["decoder"])).apply(params["decoder"], {}, code, train=train)[0]

    return AutoencoderModel(init, apply, encode, decode)


def code(latent: int, nonnegative: bool = False) -> Model:
    """[B, D] -> [B, latent], linear or through a ReLU. params: kernel, bias. Raises ValueError for a latent below 1."""
    if latent < 1:
        raise ValueError(f"a code has at least 1 number, not {latent}: set latent")
    linear = dense(latent)

    def apply(params, state, x, *, key=None, train=False):
        y, state = linear.apply(params, state, x)
        return relu(y) if nonnegative else y, state

    return named("code", Model(linear.init, apply))


def dense_onto(shape: Shape, *, kernel_init=lecun_normal) -> Model:
    """y = x W + b, [B, D] -> [B, *shape]. params: kernel [D, product of the shape], bias [*shape], from which `apply`
    takes the shape."""

    def init(key, spec):
        dtype = param_dtype(spec)
        return {
            "kernel": kernel_init(key, (spec.shape[-1], math.prod(shape)), dtype),
            "bias": jnp.zeros(shape, dtype),
        }, {}

    def apply(params, state, x, *, key=None, train=False):
        return add(product(x, params["kernel"]).reshape(len(x), *params["bias"].shape), params["bias"]), {}

    return Model(init, apply)


def image_decoder(width: int, shape: Shape) -> Model:
    """A code [B, D] -> images [B, *shape], by two transposed convolutions from a quarter of their sides on. `width`:
    channels of the outer level. params: start, up1, conv1, up2, output."""
    height, breadth, channels = shape
    return chain(
        named("start", dense_onto((height // 4, breadth // 4, 2 * width), kernel_init=he_normal)), relu,
        named("up1", conv_transpose(width, 2, stride=2, kernel_init=he_normal)), relu,
        conv(width, 3, kernel_init=he_normal), relu,
        named("up2", conv_transpose(width, 2, stride=2, kernel_init=he_normal)), relu,
        named("output", conv(channels, 3)),
    )  # fmt: skip


def shape_of_images(params: Params) -> Shape:
    """The shape that `image_decoder` with these params gives."""
    height, width, _ = params["start"]["bias"].shape
    return 4 * height, 4 * width, *params["output"]["bias"].shape


def images_in_quarters(x):
    """x as it is, where it is images [B, H, W, C] whose sides 4 divides; else a ValueError."""
    if x.ndim != 4 or x.shape[1] % 4 or x.shape[2] % 4:
        raise ValueError("a convolutional autoencoder takes images [B, H, W, C] whose height and width 4 divides")
    return x
