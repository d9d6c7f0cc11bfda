"""An encoder with a linear layer on its code, trained as a classifier: from a run's weights or from random ones."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .data import Dataset
from .data.examples import take
from .encode import Encoder
from .evaluation import compute_rows
from .steps import input_spec

STEPS, BATCH = 300, 128
RATES = (1e-4, 1e-3)  # Adam's learning rates: the one that is better on the validation split counts


class Score(NamedTuple):
    """A classifier's accuracy on the test split, and the setting that the validation split chose."""

    accuracy: float
    chosen: float


def tuner(encoder: Encoder, dataset: Dataset, pretrained: bool) -> Callable[[np.ndarray, int], Score]:
    """A function (rows of the training split, seed) -> `Score`, whose `chosen` is the learning rate.

    All weights learn, 300 steps of Adam on 128 of the labelled examples each, drawn with replacement; the last layer
    begins at zero. `pretrained` says whether the others begin as the run left them or at random, by the seed; the rest
    is the same for both.
    """
    x, y = ({split: take(values, rows) for split, rows in dataset.splits.items()} for values in (dataset.x, dataset.y))
    spec, classes = input_spec(dataset.info, 1), len(dataset.info.classes)

    def logits(weights: dict, x: jax.Array) -> jax.Array:
        code = (encoder.encode(weights, x) - weights["centre"]) / weights["scale"]
        return code @ weights["head"]["kernel"] + weights["head"]["bias"]

    def learn(weights: dict, rate, x, y, batches) -> dict:
        code = encoder.encode(weights, x[batches[0]])
        head = {"kernel": jnp.zeros((code.shape[1], classes)), "bias": jnp.zeros(classes)}
        fixed = {"state": weights["state"], "centre": code.mean(0), "scale": jnp.sqrt(code.var(0).mean() + 1e-12)}
        optimizer = optax.adam(rate)

        def loss(learned, rows):
            return optax.softmax_cross_entropy_with_integer_labels(logits(learned | fixed, x[rows]), y[rows]).mean()

        def step(carry, rows):
            learned, opt = carry
            updates, opt = optimizer.update(jax.grad(loss)(learned, rows), opt)
            return (optax.apply_updates(learned, updates), opt), None

        learned = {"params": weights["params"], "head": head}
        return jax.lax.scan(step, (learned, optimizer.init(learned)), batches)[0][0] | fixed

    init, learn = jax.jit(lambda key: encoder.model.init(key, spec)), jax.jit(learn)

    def accuracy(weights: dict, split: str) -> float:
        return float(np.mean(compute_rows(logits, weights, x[split], 256).argmax(-1) == y[split]))

    def score(rows: np.ndarray, seed: int) -> Score:
        start: Any = encoder.weights
        if not pretrained:
            start = dict(zip(("params", "state"), init(jax.random.key(seed)), strict=True))
        batches = np.random.default_rng(seed).choice(rows, (STEPS, BATCH))
        found = {rate: learn(start, rate, x["train"], y["train"], batches) for rate in RATES}
        best = max(RATES, key=lambda rate: accuracy(found[rate], "validation"))
        return Score(accuracy(found[best], "test"), best)

    return score
