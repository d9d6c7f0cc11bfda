"""The likelihood of a flow, whose ODE carries data back to noise. Chen et al. 2018, arXiv:1806.07366."""

import contextlib
import math

import jax
import jax.numpy as jnp
import numpy as np

from ..models.flows import NO_CLASS, guided, log_density
from .config import Experiment
from .data import Dataset
from .evaluation import batches
from .flow import continuous, nats_of_units
from .progress import counted
from .steps import preparation
from .tasks import keys_of

EXAMPLES = 100  # in one dispatch
PROBE = 0x970BE  # folded into an example's key


def flow_likelihood(
    experiment: Experiment, weights: dict, dataset: Dataset, split: str, samples: int, steps: int
) -> dict[str, float]:
    """The mean log-likelihood of a split's examples, each with its class where the network is told classes: in nats
    (`log_likelihood`) and in bits per dimension: of pixels that are whole numbers, on any scale, a bound of the bits of
    these; else of a density in units of white (of tables in standard deviations).

    The trace of the velocity's derivative is estimated by `samples` probes of each example, all along its path, and the
    path takes `steps` steps of Heun's method.
    """
    apply, info = experiment.model.build().apply, dataset.info
    prepare = preparation(info)[0]

    @jax.jit
    def density(weights, batch, i):
        spread, start, _ = keys_of(batch["row"], 3)
        x = continuous(info, spread, prepare(batch["x"]))
        keys = jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, PROBE), i))(start)
        probe = jax.vmap(lambda key: jax.random.rademacher(key, x.shape[1:], x.dtype))(keys)
        label = batch["y"] if info.classes else jnp.full(len(x), NO_CLASS)
        return log_density(guided(apply, weights["params"], weights["state"], label), x, probe, steps)

    total, n = 0.0, 0.0
    rows = dataset.splits[split]
    with contextlib.closing(batches(dataset, rows, min(EXAMPLES, len(rows)))) as found:
        for batch in counted(found, len(rows)):
            each = np.mean([np.asarray(density(weights, batch, i), np.float64) for i in range(samples)], 0)
            total, n = total + (each * batch["weight"]).sum(), n + batch["weight"].sum()
    nats = float(total / n) - nats_of_units(info)
    return {"log_likelihood": nats, "bits_per_dimension": -nats / (math.log(2) * math.prod(info.shape))}
