"""Autoencoders in Flax Linen: images to the loss, as in torch_images.py, with images [B, 28, 28, 1]."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from workloads import LATENT, WIDTH


class Autoencoder(nn.Module):
    @nn.compact
    def __call__(self, x, y=None, train=False):
        x = x.reshape(len(x), -1)
        y = nn.Dense(32)(nn.relu(nn.Dense(128)(x)))
        y = nn.Dense(784)(nn.relu(nn.Dense(128)(y)))
        return jnp.square(y - x).mean()


class ConvVAE(nn.Module):
    mean: float  # of the pixels, in which white is 255
    std: float

    def setup(self):
        self.encoder = [nn.Conv(WIDTH, (3, 3)), nn.Conv(2 * WIDTH, (3, 3)), nn.Dense(2 * LATENT)]
        self.start = nn.Dense(98 * WIDTH)
        self.up1, self.up2 = (nn.ConvTranspose(WIDTH, (2, 2), (2, 2)) for _ in range(2))
        self.conv, self.output = nn.Conv(WIDTH, (3, 3)), nn.Conv(1, (3, 3))

    def __call__(self, x, y=None, train=False):
        mean, std = self.mean / 255, self.std / 255
        observed = jax.random.bernoulli(self.make_rng("dropout"), x * std + mean).astype(jnp.float32)
        posterior, log_variance = jnp.split(self.encode((observed - mean) / std), 2, 1)
        noise = jax.random.normal(self.make_rng("dropout"), posterior.shape)
        logits = self.decode(posterior + jnp.exp(log_variance / 2) * noise)
        fit = (nn.softplus(logits) - observed * logits).sum()
        kl = 0.5 * (jnp.square(posterior) + jnp.exp(log_variance) - 1 - log_variance).sum()
        return (fit + kl) / len(x)

    def encode(self, x):
        conv1, conv2, posterior = self.encoder
        x = nn.max_pool(nn.relu(conv1(x)), (2, 2), (2, 2))
        x = nn.max_pool(nn.relu(conv2(x)), (2, 2), (2, 2))
        return posterior(x.reshape(len(x), -1))

    def decode(self, code):
        x = nn.relu(self.start(code)).reshape(len(code), 7, 7, 2 * WIDTH)
        x = nn.relu(self.conv(nn.relu(self.up1(x))))
        return self.output(nn.relu(self.up2(x)))

    def sample(self, key, n: int):
        return nn.sigmoid(self.decode(jax.random.normal(key, (n, LATENT))))
