"""The task of variational autoencoders: the evidence lower bound, and its importance-weighted form."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import UserError
from ..models.vae import VAEOutput, draws
from .data import Dataset, Info
from .data.info import Kind
from .reconstruction import own_unit
from .tasks import Loss, Sums, check_whole, keys_of

OBSERVATION = 0x0B5  # folded into a step's key, apart from the numbers that `chain` folds in for its layers
ACTIVE = 0.01  # a unit is active where its posterior mean varies more than this (Burda et al. 2015, section 5.2)
LEVELS = 256  # of a byte
DARK = 0.2  # share of white that the brightest value of binarised data reaches at least


@dataclass(frozen=True)
class Variational:
    """Learn the distribution of the data: the negative evidence lower bound (ELBO) of networks that give a `VAEOutput`.

    Kingma and Welling 2013, arXiv:1312.6114. All metrics are in nats an example: `elbo`, the mean of log p(x | z) less
    `kl`, the divergence of q(z | x) from the standard normal prior, with one z an example; `reconstruction` is
    -log p(x | z), `bits_per_dimension` -elbo / (D ln 2): bits of pixels that are drawn to be 0 or 1, or of bytes; else
    of a density in units of white (of tables in standard deviations). `active_units` counts those whose posterior mean
    varies with x by more than 0.01; where there are none, the posterior has collapsed. Draws of evaluation have seed 0.
    """

    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    """bernoulli: values in [0, 1] (white is 1) are the probabilities by which pixels are drawn to be 0 or 1, anew each
    time they are seen (dynamic binarisation), and the network gives logits. gaussian: the network gives means; images
    of bytes get uniform noise of one level, so that the bound is one of the bytes' probability; images of another
    scale, whole numbers or not, have a density"""
    deviation: float = 0.1
    """of the gaussian likelihood, where white is 1 (of tables, in standard deviations)"""
    beta: float = 1.0
    """weight of the KL divergence in the loss (Higgins et al. 2017, beta-VAE, openreview.net/forum?id=Sy2fzU9gl)"""
    warmup: int = 0
    """steps over which that weight grows from 0 (Bowman et al. 2015, arXiv:1511.06349)"""

    kind: ClassVar[Kind] = "reconstruction"
    headline: ClassVar[str] = "elbo"
    higher_is_better: ClassVar[frozenset[str]] = frozenset({"elbo", "active_units"})

    def __post_init__(self):
        if not 0 < self.deviation < math.inf:
            raise UserError(f"--task.deviation is a positive number, not {self.deviation}")
        if not 0 <= self.beta < math.inf:
            raise UserError(f"--task.beta is a number of at least 0, not {self.beta}")
        if self.warmup < 0:
            raise UserError(f"--task.warmup is a number of steps, or 0, not {self.warmup}")

    def outputs(self, info: Info) -> int:
        return info.shape[-1]

    def check_data(self, dataset: Dataset) -> None:
        """UserError for data that the likelihood gives no probability."""
        values = dataset.x
        if dataset.stream is not None or not isinstance(values, np.ndarray):
            return
        if self.likelihood == "gaussian":
            if dataset.info.pixel_max == LEVELS - 1:
                check_whole(values, dataset.info)
            return
        self.check_values(values, dataset.info, dataset.info.source)
        highest, white = float(values.max()), dataset.info.pixel_max or 1.0
        if highest < white * DARK:
            raise UserError(
                f"{dataset.info.source} has values of at most {highest:g}, and white is taken to be {white:g}: "
                "hardly a pixel would be drawn to be 1. Scale the values to lie from 0 to 1 or to 255"
            )

    def check_values(self, x: np.ndarray, info: Info, source: str) -> None:
        """As `check_data`, of raw values."""
        low, high, white = float(x.min()), float(x.max()), info.pixel_max or 1.0
        if self.likelihood == "bernoulli" and (low < 0 or high > white):
            raise UserError(
                f"the Bernoulli likelihood needs values from 0 to {white:g} (white), and {source} has "
                f"{low:g} to {high:g}: scale them, or choose --task.likelihood gaussian"
            )

    def loss(self, info: Info) -> Loss:
        parts = self.parts(info)

        def loss(apply, params, state, batch, *, key=None, train=False):
            weight, n = batch["weight"], batch["weight"].sum()
            seen, latent = jax.random.split(jax.random.fold_in(key, OBSERVATION)) if train else keys_of(batch["row"], 2)
            observed = parts.observe(seen, batch["x"])
            y, state = apply(params, state, parts.standardised(observed), key=latent, train=train)
            if not isinstance(y, VAEOutput):
                raise UserError("a variational task needs a network with a posterior, such as VAE or ConvVAE")
            kl = divergence(y)  # [B]
            fit = parts.log_likelihood(y.output, observed)  # [B]
            total = (weight * (self.weight(batch, train) * kl - fit)).sum()
            metrics = {"loss": (total, n), "elbo": ((weight * (fit - kl)).sum(), n), "kl": ((weight * kl).sum(), n)}
            if not train:
                metrics["reconstruction"] = (-(weight * fit).sum(), n)
                each, mean = weight[:, None], y.mean.astype(jnp.float32)
                metrics["code_mean"] = ((each * mean).sum(0), n)
                metrics["code_square"] = ((each * jnp.square(mean)).sum(0), n)
                metrics["bits_per_dimension"] = (metrics["elbo"][0] / (-math.log(2) * math.prod(info.shape)), n)
            return total / jnp.maximum(n, 1), (state, metrics)

        return loss

    def weight(self, batch: dict, train: bool) -> jax.Array | float:
        """Of the KL divergence: a function of the step."""
        if not (train and self.warmup):
            return self.beta
        return self.beta * jnp.minimum(1.0, batch["step"] / self.warmup)

    def parts(self, info: Info) -> "Parts":
        return Parts(self, info)

    def predict(self, info: Info) -> Callable:
        """(apply, params, state, x) -> the expected example, standardised, of the posterior's mean."""
        parts = self.parts(info)

        def predict(apply, params, state, x):
            return parts.expected(apply(params, state, x)[0].output)

        return predict

    def errors(self, info: Info) -> Callable:
        """(apply, params, state, x) -> each example's negative ELBO [B], with the posterior's mean as z, and grey
        values as the probabilities that they are: nothing is drawn."""
        parts = self.parts(info)

        def errors(apply, params, state, x):
            y, _ = apply(params, state, x)
            return divergence(y) - parts.log_likelihood(y.output, parts.own(x))

        return errors

    def summarize(self, sums: Sums) -> dict[str, float]:
        found = {name: float(total / max(n, 1)) for name, (total, n) in sums.items() if not name.startswith("code_")}
        if "code_mean" in sums:
            (first, n), (second, _) = sums["code_mean"], sums["code_square"]
            found["active_units"] = float(np.sum(second / n - (first / n) ** 2 > ACTIVE))
        return found


def divergence(posterior: VAEOutput) -> jax.Array:
    """The KL divergence of q(z | x) from the standard normal prior, [B] float32."""
    mean, log_variance = posterior.mean.astype(jnp.float32), posterior.log_variance.astype(jnp.float32)
    return 0.5 * (jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance).sum(-1)


class Parts:
    """What a likelihood makes of the examples of `info`: pure functions of arrays [B, ...]."""

    def __init__(self, task: Variational, info: Info):
        self.task, self.dimensions = task, math.prod(info.shape)
        self.bernoulli, self.bytes = task.likelihood == "bernoulli", info.pixel_max == LEVELS - 1
        mean, std = np.asarray(info.x_mean, np.float32), np.asarray(info.x_std, np.float32)
        if self.bernoulli or info.pixel_max:
            white = info.pixel_max or 1.0
            self.unit, self.zero = std / white, mean / white
        else:
            self.unit, self.zero = np.asarray(own_unit(info)), np.zeros(1, np.float32)

    def own(self, x: jax.Array) -> jax.Array:
        """Standardised values in the units of the likelihood, in which white is 1."""
        return x.astype(jnp.float32) * self.unit + self.zero

    def standardised(self, x: jax.Array) -> jax.Array:
        """The inverse of `own`."""
        return (x - self.zero) / self.unit

    def observe(self, key: jax.Array, x: jax.Array) -> jax.Array:
        """What is to be explained of standardised x: pixels drawn to be 0 or 1; of bytes a number in each one's bin."""
        x = self.own(x)
        if self.bernoulli:
            return (draws(jax.random.uniform, key, x.shape) < x).astype(jnp.float32)
        if self.bytes:
            return (x * (LEVELS - 1) + draws(jax.random.uniform, key, x.shape)) / LEVELS
        return x

    def log_likelihood(self, output: jax.Array, observed: jax.Array) -> jax.Array:
        """log p(observed | output), [B] float32."""
        output = output.astype(jnp.float32)
        if self.bernoulli:
            each = observed * output - jax.nn.softplus(output)
            return each.reshape(len(each), -1).sum(1)
        error = (observed - self.own(output)) / self.task.deviation
        scale = math.log(self.task.deviation) + 0.5 * math.log(2 * math.pi) + (math.log(LEVELS) if self.bytes else 0)
        return -0.5 * jnp.square(error).reshape(len(error), -1).sum(1) - self.dimensions * scale

    def expected(self, output: jax.Array) -> jax.Array:
        """The mean of the distribution that an output stands for, standardised."""
        output = output.astype(jnp.float32)
        return self.standardised(jax.nn.sigmoid(output)) if self.bernoulli else output
