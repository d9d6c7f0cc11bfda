"""The importance-weighted bound of a variational autoencoder's log-likelihood. Burda et al. 2015, arXiv:1509.00519."""

import contextlib
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import UserError
from .config import Experiment
from .data import Dataset, Info
from .evaluation import batches
from .progress import counted
from .steps import preparation
from .tasks import keys_of
from .variational import Parts, Variational

EXAMPLES, CODES = 100, 50  # in one dispatch: examples, and codes of each; memory does not grow with the samples


def importance_weighted(
    experiment: Experiment, weights: dict, dataset: Dataset, split: str, samples: int
) -> dict[str, float]:
    """The mean over a split of log 1/k sum p(x, z_i) / q(z_i | x), of k codes z_i drawn for each example: in nats
    (`importance_weighted_elbo`) and in bits per dimension. With one code it is an estimate of the ELBO.

    Raises UserError for what is no run of a variational autoencoder.
    """
    model: Any = experiment.model.build()
    if not isinstance(experiment.task, Variational) or not hasattr(model, "decode"):
        raise UserError("--samples is for flows and variational autoencoders, which have a likelihood")
    parts, info = experiment.task.parts(dataset.info), dataset.info
    begin = jax.jit(lambda *args: begun(model, parts, info, *args))
    step = jax.jit(lambda *args: stepped(model, parts, samples, *args))
    total, n = 0.0, 0.0
    rows = dataset.splits[split]
    with contextlib.closing(batches(dataset, rows, EXAMPLES)) as found:
        for batch in counted(found, len(rows)):
            memory, log_sum = begin(weights, batch["x"], batch["row"])
            for i in range(-(-samples // CODES)):
                log_sum = step(weights, memory, log_sum, i)
            bound = np.asarray(log_sum, np.float64) - math.log(samples)
            total, n = total + (bound * batch["weight"]).sum(), n + batch["weight"].sum()
    nats = float(total / n)
    bits = -nats / (math.log(2) * math.prod(info.shape))
    return {"importance_weighted_elbo": nats, "importance_weighted_bits_per_dimension": bits}


def begun(model: Any, parts: Parts, info: Info, weights: dict, x: jax.Array, rows: jax.Array) -> tuple[Any, jax.Array]:
    """What is observed of raw examples x [B, ...], their posterior and a key of each; and the logarithm of an empty
    sum, [B]. The observation is the one that the ELBO is of."""
    seen, keys = keys_of(rows, 2)
    observed = parts.observe(seen, preparation(info)[0](x))
    mean, log_variance = model.encode(weights["params"], weights["state"], parts.standardised(observed))
    return (observed, mean, log_variance, keys), jnp.full(len(x), -jnp.inf)


def stepped(model: Any, parts: Parts, samples: int, weights: dict, memory: Any, log_sum: jax.Array, i) -> jax.Array:
    """The logarithm of the sum [B] with the weights of CODES more codes; those beyond `samples` do not count."""
    observed, mean, log_variance, keys = memory
    shape = (CODES, mean.shape[1])
    noise = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, i), shape))(keys)  # [B, CODES, latent]
    code = mean[:, None] + jnp.exp(log_variance / 2)[:, None] * noise
    output = model.decode(weights["params"], weights["state"], code.reshape(-1, shape[1]))
    fit = parts.log_likelihood(output, jnp.repeat(observed, CODES, 0)).reshape(len(mean), CODES)
    prior_to_posterior = 0.5 * (jnp.square(noise) - jnp.square(code) + log_variance[:, None]).sum(-1)
    log_weights = jnp.where(i * CODES + jnp.arange(CODES) < samples, fit + prior_to_posterior, -jnp.inf)
    return jnp.logaddexp(log_sum, jax.nn.logsumexp(log_weights, axis=1))
