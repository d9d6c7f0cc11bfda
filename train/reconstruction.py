"""The task of restoring the input: autoencoders, denoising and sparse ones too."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import UserError
from .data import Info
from .data.info import Kind
from .tasks import DRAW_SEED, Loss, Sums

CORRUPTION = 0xC0  # folded into a step's key, apart from the numbers that `chain` folds in for its layers
SILENT = 1e-3  # a unit of the code below this magnitude counts as silent


@dataclass(frozen=True)
class Reconstruction:
    """Restore the input: mean squared error of x [B, ...] and the network's output, of the same shape.

    The network sees and gives standardised values, and its loss is in that scale. `mse` and `rmse` are in the pixels'
    own units, in which white is 1 (of tables they stay standardised), averaged over all values of all examples. Labels
    are not used. The network gives an array, or a NamedTuple (reconstruction, code) as the zoo's autoencoders do.
    """

    noise: float = 0.0
    """above 0, the network restores the input from one with Gaussian noise of this deviation, where white is 1 (of
    tables, in standard deviations); Vincent et al. 2008, doi:10.1145/1390156.1390294. Evaluation gives the error from
    clean inputs (rmse), from noisy ones (denoising_rmse; their noise is drawn by seed 0) and of the noisy ones
    themselves (noisy_rmse)"""
    sparsity: float = 0.0
    """weight, in the loss, of the mean magnitude of the code's numbers (L1)"""

    kind: ClassVar[Kind] = "reconstruction"
    headline: ClassVar[str] = "rmse"
    higher_is_better: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self):
        for name in ("noise", "sparsity"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"--task.{name} is 0 or a positive number, not {getattr(self, name)}")

    def outputs(self, info: Info) -> int:
        return info.shape[-1]

    def loss(self, info: Info) -> Loss:
        unit = own_unit(info)

        def loss(apply, params, state, batch, *, key=None, train=False):
            x, weight = batch["x"].astype(jnp.float32), batch["weight"]
            n = weight.sum()
            seen = x
            if self.noise:
                noise = noise_of_batch(key, x.shape) if train else noise_of_rows(batch["row"], x.shape[1:])
                seen = x + self.noise / unit * noise
            y, state = apply(params, state, seen, key=key, train=train)
            restored, code = y if isinstance(y, tuple) else (y, None)
            losses = mean_square(restored - x)  # [B]
            if self.sparsity:
                losses = losses + self.sparsity * magnitude(code).mean(1)
            total = (weight * losses).sum()
            metrics = {"loss": (total, n)}
            if not train:
                clean = restored
                if self.noise:
                    metrics["denoising_rmse"] = ((weight * mean_square((restored - x) * unit)).sum(), n)
                    metrics["noisy_rmse"] = ((weight * mean_square((seen - x) * unit)).sum(), n)
                    y, _ = apply(params, state, x, key=key, train=False)
                    clean, code = y if isinstance(y, tuple) else (y, None)
                metrics["mse"] = metrics["rmse"] = ((weight * mean_square((clean - x) * unit)).sum(), n)
                if self.sparsity:
                    size = magnitude(code)
                    metrics["code_magnitude"] = ((weight * size.mean(1)).sum(), n)
                    metrics["code_active"] = ((weight * (size > SILENT).mean(1)).sum(), n)
            return total / jnp.maximum(n, 1), (state, metrics)

        return loss

    def errors(self, info: Info) -> Callable:
        """(apply, params, state, x) -> each example's mean squared error, as in `mse`, [B]."""
        unit = own_unit(info)

        def errors(apply, params, state, x):
            y, _ = apply(params, state, x)
            return mean_square(((y[0] if isinstance(y, tuple) else y) - x) * unit)

        return errors

    def summarize(self, sums: Sums) -> dict[str, float]:
        means = {name: float(total / max(n, 1)) for name, (total, n) in sums.items()}
        return {name: float(np.sqrt(mean)) if name.endswith("rmse") else mean for name, mean in means.items()}


def own_unit(info: Info) -> jax.Array:
    """[C]: what a step of 1 in standardised values is in the pixels' own units, where white is 1; 1 for tables."""
    return jnp.asarray(info.x_std, jnp.float32) / info.pixel_max if info.pixel_max else jnp.ones(1)


def own_values(info: Info, x: jax.Array) -> jax.Array:
    """Standardised images x [B, H, W, C] in the pixels' own units, where white is 1."""
    return x * own_unit(info) + jnp.asarray(info.x_mean, jnp.float32) / (info.pixel_max or 1)


def noise_of_batch(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Of a training step: standard normal numbers."""
    return jax.random.normal(jax.random.fold_in(key, CORRUPTION), shape)


def noise_of_rows(rows: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Of evaluation: standard normal numbers [B, *shape], the same for a row of the data whatever the batch holds."""
    keys = jax.vmap(lambda row: jax.random.fold_in(jax.random.key(DRAW_SEED), row))(rows)
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def mean_square(error: jax.Array) -> jax.Array:
    """[B, ...] -> [B], in float32."""
    return jnp.square(error.astype(jnp.float32)).reshape(len(error), -1).mean(1)


def magnitude(code: jax.Array | None) -> jax.Array:
    """[B, L], in float32. UserError where the network gives no code."""
    if code is None:
        raise UserError("--task.sparsity is of a code, and the network gives none: it returns the reconstruction alone")
    return jnp.abs(code.astype(jnp.float32))
