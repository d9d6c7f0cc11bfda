"""What a network is trained for: a loss, and the metrics that tell how well it does.

A task is one pure function, `loss(apply, params, state, batch, *, key, train) -> (loss, (state, metrics))`. `batch`
holds "x" [B, ...], "y" and "weight" [B], which is 1 for an example and 0 for the padding of a last, partial batch;
"row" [B], the number of each example in the data; and in training "step" [B], that of the steps taken, in every row.
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
from .data.masks import UNLABELLED
from .data.text import NOTHING

Loss = Callable[..., tuple[jax.Array, tuple[dict, dict]]]
Sums = Mapping[str, tuple[np.ndarray, np.ndarray]]
DRAW_SEED = 0  # of random numbers at evaluation: an example's own, by its row, whatever the batch size


def keys_of(rows: jax.Array, n: int) -> jax.Array:
    """Of evaluation: n keys of each row of the data, [n, B], whatever the batch holds."""
    split = jax.vmap(lambda row: jax.random.split(jax.random.fold_in(jax.random.key(DRAW_SEED), row), n), out_axes=1)
    return split(rows)


def check_whole(x: np.ndarray, info: Info) -> None:
    """UserError for pixels of which it is unclear what they are the whole numbers of."""
    if np.any(x != np.floor(x)):
        raise UserError(
            f"{info.source} has pixels up to {info.pixel_max:g} that are no whole numbers: scale them to 0 to 1"
        )


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
    """Tell classes apart: softmax cross-entropy of logits [B, C] and labels [B], or [B, C] of mixed images."""

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
            logits, target, weight = logits.astype(jnp.float32), batch["y"], batch["weight"]
            target = jax.nn.one_hot(target, classes) if target.ndim == 1 else target
            labels = target.argmax(-1)
            target = optax.smooth_labels(target, self.label_smoothing if train else 0.0)
            losses = optax.softmax_cross_entropy(logits, target)  # [B]
            n = weight.sum()
            total = (weight * losses).sum()
            guess = logits.argmax(-1)
            metrics = {"loss": (total, n), "accuracy": ((weight * (guess == labels)).sum(), n)}
            if not train:
                pairs = jnp.zeros((classes, classes)).at[labels, guess].add(weight)  # [label, guess]
                metrics["confusion"] = (pairs, n)
                if classes > k:
                    own = jnp.take_along_axis(logits, labels[:, None], 1)
                    tied = (logits == own) & (jnp.arange(classes) < labels[:, None])  # the first counts, as for argmax
                    ahead = (~(logits <= own) | tied).sum(-1)  # a NaN is ahead of all, and all are ahead of it
                    metrics["top_k_accuracy"] = ((weight * (ahead < k)).sum(), n)
            return total / jnp.maximum(n, 1), (state, metrics)

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
        scale = max(info.y_std)
        unit = jnp.asarray(np.asarray(info.y_std) / scale, jnp.float32)  # [K], at most 1: squares stay in float32

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
                metrics["scale"] = (jnp.float32(scale), jnp.float32(1))
            return total / jnp.maximum(n, 1), (state, metrics)

        return loss

    def summarize(self, sums: Sums) -> dict[str, float]:
        loss = {"loss": float(sums["loss"][0] / sums["loss"][1])}
        if "squared_error" not in sums:
            return loss
        squared, n = sums["squared_error"]
        deviation = sums["squared_target"][0] - sums["target"][0] ** 2 / n
        varies = deviation > 1e-6 * sums["squared_target"][0]  # below that it is what float32 has rounded
        absolute, count = sums["absolute_error"]
        scale = sums["scale"][0] / sums["scale"][1]
        with np.errstate(all="ignore"):  # of a constant target, as scikit-learn has it: 1 where it is met, else 0
            r2 = np.where(varies, 1 - squared / deviation, np.where(squared == 0, 1.0, 0.0))
        return loss | {
            "rmse": float(scale * np.sqrt(squared.mean() / n)),
            "mae": float(scale * absolute / count),
            "r2": float(np.mean(r2)),
        }


@dataclass(frozen=True)
class Segmentation:
    """Tell the class of each pixel: softmax cross-entropy of logits [B, H, W, C] and labels [B, H, W], over all pixels.

    The IoU of a class, over a whole split: the pixels that are of it and found to be, divided by those that are one or
    the other. `mean_iou` leaves out a class without either; `iou_NAME` is given for each class that there is. Neither
    has the class to ignore, but where that is predicted a pixel of another class is missed.
    """

    ignore: int = UNLABELLED
    """a class whose pixels count neither in the loss nor in the metrics; 255, pixels without a label, never do"""

    kind: ClassVar[Kind] = "segmentation"
    headline: ClassVar[str] = "mean_iou"
    higher_is_better: ClassVar[frozenset[str]] = frozenset({"mean_iou", "pixel_accuracy", "iou_*"})

    def __post_init__(self):
        if not 0 <= self.ignore <= UNLABELLED:
            raise UserError(f"--task.ignore is the index of a class, or 255 for none, not {self.ignore}")

    def outputs(self, info: Info) -> int:
        return len(info.classes)

    def loss(self, info: Info) -> Loss:
        def loss(apply, params, state, batch, *, key=None, train=False):
            logits, state = apply(params, state, batch["x"], key=key, train=train)  # [B, H, W, C]
            logits, labels = logits.astype(jnp.float32), batch["y"].astype(jnp.int32)  # [B, H, W]
            counts = (labels != UNLABELLED) & (labels != self.ignore) & (batch["weight"] > 0)[:, None, None]
            target = jax.nn.one_hot(jnp.where(counts, labels, UNLABELLED), len(info.classes))  # all 0: no loss
            total = optax.softmax_cross_entropy(logits, target).sum((1, 2)).sum()  # a long sum loses digits, two do not
            guess, n = logits.argmax(-1), counts.sum()
            metrics = {"loss": (total, n), "pixel_accuracy": ((counts & (guess == labels)).sum(), n)}
            if not train:  # whole numbers, which are exact
                for i, name in enumerate(info.classes):
                    if i == self.ignore:
                        continue
                    true, found = counts & (labels == i), counts & (guess == i)
                    metrics[f"iou_{name}"] = ((true & found).sum(), jnp.stack([true.sum(), found.sum()]))
            return total / jnp.maximum(n, 1), (state, metrics)

        return loss

    def summarize(self, sums: Sums) -> dict[str, float]:
        both = {name: counts for name, counts in sums.items() if name.startswith("iou_")}
        found = {name: float(total / max(n, 1)) for name, (total, n) in sums.items() if name not in both}
        if not both:
            return found
        union = {name: true + guessed - hits for name, (hits, (true, guessed)) in both.items()}
        iou = {name: float(both[name][0] / union[name]) for name in both if union[name] > 0}
        seen = {name: value for name, value in iou.items() if both[name][1][0] > 0}
        return found | {"mean_iou": float(np.mean(list(iou.values()) or [0.0]))} | seen


@dataclass(frozen=True)
class Language:
    """Predict the next token: softmax cross-entropy of logits [B, T, V] and the tokens that follow, [B, T].

    bits_per_character (or bits_per_byte) is the loss in bits, perplexity its exponential: as many tokens, all as
    likely, would be as hard to guess.
    """

    kind: ClassVar[Kind] = "language"
    headline: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[frozenset[str]] = frozenset({"accuracy"})

    def outputs(self, info: Info) -> int:
        return len(info.classes)

    def loss(self, info: Info) -> Loss:
        def loss(apply, params, state, batch, *, key=None, train=False):
            logits, state = apply(params, state, batch["x"], key=key, train=train)  # [B, T, V]
            logits, target = logits.astype(jnp.float32), batch["y"].astype(jnp.int32)  # [B, T]
            counts = (target != NOTHING) & (batch["weight"] > 0)[:, None]
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(counts, target, 0))
            n = counts.sum()
            total = jnp.where(counts, losses, 0).sum(1).sum()  # a long sum loses digits, two do not
            hits = (counts & (logits.argmax(-1) == target)).sum()
            bits = f"bits_per_{info.tokens.removesuffix('s')}"
            metrics = {"loss": (total, n), bits: (total / jnp.log(2.0), n), "accuracy": (hits, n)}
            return total / jnp.maximum(n, 1), (state, metrics)

        return loss

    def summarize(self, sums: Sums) -> dict[str, float]:
        means = {name: float(total / max(n, 1)) for name, (total, n) in sums.items()}
        with np.errstate(over="ignore"):
            return means | {"perplexity": float(np.exp(means["loss"]))}
