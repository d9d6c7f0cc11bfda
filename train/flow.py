"""The task of flows: learn the velocity that carries noise to data. Lipman et al. 2022, arXiv:2210.02747."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import UserError
from ..models.flows import NO_CLASS, Noisy
from ..models.vae import draws
from .data import Dataset, Info
from .data.info import Kind
from .tasks import DRAW_SEED, Loss, Sums, check_whole, keys_of

PATHS = 0xF10  # folded into a step's key, apart from the numbers that `chain` folds in for its layers
LOOKS = 8  # times at which an example that is no row of the data is looked at


@dataclass(frozen=True)
class FlowMatching:
    """Learn the distribution of the data, and of each class where they have classes: the squared error of the velocity
    that a network of `Noisy` examples gives, to the one of a straight path from noise to the example.

    The loss is the mean over all values and over times from 0 to 1, in the scale of standardised data; `velocity_rmse`
    is its root. Evaluation looks at each example once, with its class, at a time and from a noise drawn by seed 0.
    """

    unlabelled: float = 0.1
    """share of training examples whose class is not told, so that the network also learns the distribution of all
    together, which guidance needs (Ho and Salimans 2022, arXiv:2207.12598)"""

    kind: ClassVar[Kind] = "reconstruction"
    headline: ClassVar[str] = "velocity_rmse"
    higher_is_better: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self):
        if not 0 <= self.unlabelled < 1:
            raise UserError(f"--task.unlabelled is a share in [0, 1), not {self.unlabelled}")

    def outputs(self, info: Info) -> int:
        return info.shape[-1]

    def check_data(self, dataset: Dataset) -> None:
        """UserError for pixels of which it is unclear what they are the whole numbers of."""
        if isinstance(dataset.x, np.ndarray) and is_whole(dataset.info):
            check_whole(dataset.x, dataset.info)

    def check_network(self, network: Any, info: Info) -> None:
        """UserError for a network that is told other classes than the data have."""
        classes = getattr(network, "classes", 0)
        if classes not in (0, len(info.classes)):
            mend = f"set --model.classes {len(info.classes)}"
            raise UserError(f"the network is told {classes} classes, and the data have {len(info.classes)}: {mend}")

    def loss(self, info: Info) -> Loss:
        def loss(apply, params, state, batch, *, key=None, train=False):
            x, weight, n = batch["x"], batch["weight"], batch["weight"].sum()
            label = batch["y"] if info.classes else jnp.full(len(x), NO_CLASS)
            if train:
                spread, start, order, hide = jax.random.split(jax.random.fold_in(key, PATHS), 4)
                time = (jax.random.uniform(order) + jnp.arange(len(x)) / len(x)) % 1  # evenly over the batch
                label = jnp.where(jax.random.uniform(hide, label.shape) < self.unlabelled, NO_CLASS, label)
            else:
                spread, start, order = keys_of(batch["row"], 3)
                time = draws(jax.random.uniform, order, x.shape[:1])
            data = continuous(info, spread, x)
            errors, state = velocity_errors(apply, params, state, data, start, time, label, key=key, train=train)
            total = (weight * errors).sum()
            return total / jnp.maximum(n, 1), (state, {"loss": (total, n), "velocity_rmse": (total, n)})

        return loss

    def errors(self, info: Info) -> Callable | None:
        """(apply, params, state, x) -> each example's loss [B] without its class, from one noise, the same for all, at
        LOOKS times: how strange it is. Graham et al. 2022, arXiv:2211.07740. None where every example is trained with
        its class: of those without, the network has learned nothing."""
        if info.classes and self.unlabelled == 0:
            return None

        def errors(apply, params, state, x):
            start, label = jnp.broadcast_to(jax.random.key(DRAW_SEED), len(x)), jnp.full(len(x), NO_CLASS)

            def look(t):
                return velocity_errors(apply, params, state, x, start, jnp.full(len(x), t), label)[0]

            return jax.lax.map(look, (jnp.arange(LOOKS) + 0.5) / LOOKS).mean(0)

        return errors

    def summarize(self, sums: Sums) -> dict[str, float]:
        means = {name: float(total / max(n, 1)) for name, (total, n) in sums.items()}
        return means | {"velocity_rmse": math.sqrt(means["velocity_rmse"])}


def velocity_errors(apply, params, state, data, start, time, label, *, key=None, train=False):
    """The mean squared error of each example's velocity [B], at `time` [B] on the straight path from the noise that key
    `start` draws; and the state. Lipman et al. 2022, eq. 23, with sigma_min = 0."""
    noise = draws(jax.random.normal, start, data.shape)
    share = time.reshape(-1, *(1,) * (data.ndim - 1))
    noisy = Noisy((1 - share) * noise + share * data, time, label)
    velocity, state = apply(params, state, noisy, key=key, train=train)
    error = velocity.astype(jnp.float32) - (data - noise)
    return jnp.square(error).reshape(len(data), -1).mean(1), state


# Pixels are whole numbers, which have no density. Spread evenly over [n, n + 1) they have one, and the mean of its
# logarithm there is at most that of the probability of n: its bits are no fewer than those of the numbers (Theis et al.
# 2015, arXiv:1511.01844, section 3.1).


def is_whole(info: Info) -> bool:
    """Whether values are pixels that are whole numbers, 0 to `pixel_max`."""
    return info.pixel_max > 1


def continuous(info: Info, key: jax.Array, x: jax.Array) -> jax.Array:
    """Standardised x [B, ...] with whole pixels spread over their bins, by one key or one of each example [B]."""
    x = x.astype(jnp.float32)
    if not is_whole(info):
        return x
    return x + draws(jax.random.uniform, key, x.shape) / jnp.asarray(info.x_std, jnp.float32)


def raw_values(info: Info, x: np.ndarray) -> np.ndarray:
    """The inverse: standardised values as the data have them, pixels as the numbers of their bins."""
    raw = x * np.asarray(info.x_std, np.float32) + np.asarray(info.x_mean, np.float32)
    if not info.pixel_max:
        return raw
    return (np.floor(raw) if is_whole(info) else raw).clip(0, info.pixel_max)


def nats_of_units(info: Info) -> float:
    """What an example's log-density of standardised values is above that in the units of its bins, or, without bins, of
    white; 0 for tables."""
    if not info.pixel_max:
        return 0.0
    std = np.asarray(info.x_std, np.float64) / (1.0 if is_whole(info) else info.pixel_max)
    return math.prod(info.shape) * float(np.mean(np.log(std)))
