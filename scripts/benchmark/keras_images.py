"""Autoencoders in Keras, as in torch_images.py. Their layers add what there is to the loss."""

import keras
from keras import layers, ops
from workloads import LATENT, WIDTH


class Observe(layers.Layer):
    """Pixels from 0 to 255 drawn to be 0 or 1."""

    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator(0)

    def call(self, x):
        x = ops.cast(x, "float32") / 255
        return ops.cast(keras.random.uniform(ops.shape(x), seed=self.seed) < x, "float32")


class Code(layers.Layer):
    """Draws a code from the posterior [B, 2 LATENT], and adds its divergence from the prior to the loss."""

    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator(1)

    def call(self, posterior):
        mean, log_variance = ops.split(posterior, 2, axis=1)
        kl = 0.5 * (ops.square(mean) + ops.exp(log_variance) - 1 - log_variance)
        self.add_loss(ops.mean(ops.sum(kl, axis=1)))
        return mean + ops.exp(log_variance / 2) * keras.random.normal(ops.shape(mean), seed=self.seed)


class Fit(layers.Layer):
    """Adds -log p(observed | logits) to the loss."""

    def call(self, observed, logits):
        self.add_loss(ops.mean(ops.sum(ops.softplus(logits) - observed * logits, axis=(1, 2, 3))))
        return logits


class Restored(layers.Layer):
    """Adds the mean squared error to the loss."""

    def call(self, x, y):
        self.add_loss(ops.mean(ops.square(y - x)))
        return y


def autoencoder(mean: float, std: float) -> keras.Model:
    inputs = keras.Input((28, 28, 1), dtype="uint8")
    x = y = layers.Flatten()(layers.Rescaling(1 / std, offset=-mean / std)(inputs))
    for layer in (layers.Dense(128, "relu"), layers.Dense(32), layers.Dense(128, "relu"), layers.Dense(784)):
        y = layer(y)
    return keras.Model(inputs, Restored()(x, y))


def decoder() -> keras.Sequential:
    """Codes [B, LATENT] to logits [B, 28, 28, 1]."""
    return keras.Sequential([
        keras.Input((LATENT,)), layers.Dense(98 * WIDTH, "relu"), layers.Reshape((7, 7, 2 * WIDTH)),
        layers.Conv2DTranspose(WIDTH, 2, 2, activation="relu"),
        layers.Conv2D(WIDTH, 3, padding="same", activation="relu"),
        layers.Conv2DTranspose(WIDTH, 2, 2, activation="relu"), layers.Conv2D(1, 3, padding="same"),
    ])  # fmt: skip


def conv_vae(mean: float, std: float) -> keras.Model:
    inputs = keras.Input((28, 28, 1), dtype="uint8")
    observed = Observe()(inputs)
    x = layers.Rescaling(255 / std, offset=-mean / std)(observed)
    for width in (WIDTH, 2 * WIDTH):
        x = layers.MaxPooling2D()(layers.Conv2D(width, 3, padding="same", activation="relu")(x))
    code = Code()(layers.Dense(2 * LATENT)(layers.Flatten()(x)))
    return keras.Model(inputs, Fit()(observed, decoder()(code)))
