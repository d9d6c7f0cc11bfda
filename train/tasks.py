"""What a network is trained for: a loss, and the metrics that tell how well it does.

A task is one pure function, `loss(apply, params, state, batch, *, key, train) -> (loss, (state, metrics))`. `batch`
holds "x" [B, ...], "y" and "weight" [B], which is 1 for an example and 0 for the padding of a last, partial batch.
`metrics` maps a name to a pair (sum, count), so that totals over batches of any size are exact.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..errors import UserError
from .data import Info
from .data.info import Kind

Loss = Callable[..., tuple[jax.Array, tuple[dict, dict]]]
Sums = Mapping[str, tuple[np.ndarray, np.ndarray]]


class Task(Protocol):
    """What the loop needs of a task. `kind` tells the data how to read the targets."""

    kind: ClassVar[Kind]
    headline: ClassVar[str]
    higher_is_better: ClassVar[frozenset[str]]

    def outputs(self, info: Info) -> int: ...

    def loss(self, info: Info) -> Loss: ...

    def summarize(self, sums: Sums) -> dict[str, float]: ...


@dataclass(frozen=True)
class Classification:
    """Tell classes apart: softmax cross-entropy of logits [B, C] and labels [B]."""

    label_smoothing: float = 0.0
    """share of each label spread evenly over all classes in training (Szegedy et al. 2015, arXiv:1512.00567)"""
    top_k: int = 5
    """also report how often the label is among the k likeliest classes (where there are more than k)"""

    kind: ClassVar[Kind] = "classification"
    headline: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[frozenset[str]] = frozenset({"accuracy", "top_k_accuracy"})

    def __post_init__(self):
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"--task.label-smoothing lies in [0, 1), not {self.label_smoothing}")
        if self.top_k < 1:
            raise UserError(f"--task.top-k is at least 1, not {self.top_k}")

    def outputs(self, info: Info) -> int:
        return len(info.classes)

    def loss(self, info: Info) -> Loss:
        classes, k = len(info.classes), self.top_k

        def loss(apply, params, state, batch, *, key=None, train=False):
            logits, state = apply(params, state, batch["x"], key=key, train=train)  # [B, C]
            logits, labels, weight = logits.astype(jnp.float32), batch["y"], batch["weight"]
            target = optax.smooth_labels(jax.nn.one_hot(labels, classes), self.label_smoothing if train else 0.0)
            losses = optax.softmax_cross_entropy(logits, target)  # [B]
            n = weight.sum()
            total = (weight * losses).sum()
            guess = logits.argmax(-1)
            metrics = {"loss": (total, n), "accuracy": ((weight * (guess == labels)).sum(), n)}
            if not train:
                pairs = jnp.zeros((classes, classes)).at[labels, guess].add(weight)  # [label, guess]
                metrics["confusion"] = (pairs, n)
                if classes > k:
                    better = (logits > jnp.take_along_axis(logits, labels[:, None], 1)).sum(-1)  # classes ranked above
                    metrics["top_k_accuracy"] = ((weight * (better < k)).sum(), n)
            return total / n, (state, metrics)

        return loss

    def summarize(self, sums: Sums) -> dict[str, float]:
        return {name: float(total / n) for name, (total, n) in sums.items() if name != "confusion"}


@dataclass(frozen=True)
class Regression:
    """Predict numbers: squared error or Huber loss of outputs [B, K] and targets [B, K].

    The network predicts standardised targets, and its loss is in that scale; RMSE and MAE are in the targets' own units
    (averaged over targets where there are several), R^2 is 1 - squared error / squared deviation from the mean.
    """

    huber: float = 0.0
    """above 0, larger errors count linearly, in standard deviations (Huber 1964, doi:10.1214/aoms/1177703732)"""

    kind: ClassVar[Kind] = "regression"
    headline: ClassVar[str] = "r2"
    higher_is_better: ClassVar[frozenset[str]] = frozenset({"r2"})

    def __post_init__(self):
        if not 0 <= self.huber < float("inf"):
            raise UserError(f"--task.huber is 0 (squared error) or a positive threshold, not {self.huber}")

    def outputs(self, info: Info) -> int:
        return len(info.targets)

    def loss(self, info: Info) -> Loss:
        unit = jnp.asarray(info.y_std, jnp.float32)  # [K]

        def loss(apply, params, state, batch, *, key=None, train=False):
            guess, state = apply(params, state, batch["x"], key=key, train=train)  # [B, K]
            target, weight = batch["y"], batch["weight"][:, None]
            error = guess.astype(jnp.float32) - target
            losses = optax.huber_loss(error, delta=self.huber) if self.huber else jnp.square(error)
            n = weight.sum() * target.shape[-1]
            total = (weight * losses).sum()
            metrics = {"loss": (total, n)}
            if not train:
                own = error * unit
                metrics["squared_error"] = ((weight * own**2).sum(0), weight.sum())
                metrics["absolute_error"] = ((weight * jnp.abs(own)).sum(), n)
                metrics["target"] = ((weight * target * unit).sum(0), weight.sum())
                metrics["squared_target"] = ((weight * (target * unit) ** 2).sum(0), weight.sum())
            return total / n, (state, metrics)

        return loss

    def summarize(self, sums: Sums) -> dict[str, float]:
        loss = {"loss": float(sums["loss"][0] / sums["loss"][1])}
        if "squared_error" not in sums:
            return loss
        squared, n = sums["squared_error"]
        deviation = sums["squared_target"][0] - sums["target"][0] ** 2 / n
        absolute, count = sums["absolute_error"]
        with np.errstate(all="ignore"):  # of a constant target, as scikit-learn has it: 1 where it is met, else 0
            r2 = np.where(deviation > 0, 1 - squared / deviation, np.where(squared == 0, 1.0, 0.0))
        return loss | {
            "rmse": float(np.sqrt(squared.mean() / n)),
            "mae": float(absolute / count),
            "r2": float(np.mean(r2)),
        }
