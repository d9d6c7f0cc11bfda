"""The task of forecasting: the next value of each series, and by feeding it back, those of a whole horizon."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import UserError
from .data import Info
from .data.info import Kind
from .tasks import Loss, Sums


@dataclass(frozen=True)
class Forecast:
    """Predict what follows a window of K series: a network [B, W, K] -> [B, K] (or [B, W, K], the next of every step).

    Squared errors of standardised values in training. Metrics are in the series' own units, each also for the naive
    forecast, which repeats the last value: rmse_next and mae_next of the next value alone, rmse and mae of the whole
    horizon, for which the network reads its own predictions (free-running).
    """

    season: int = 0
    """steps of a season: beside the naive forecast also the seasonal one, which repeats the last season; 0: none"""
    train_on: Literal["next", "horizon"] = "next"
    """the next value, at every step that the network gives an output for; or the whole horizon, free-running"""

    by_window: bool = False
    """give the network each window in units of its own mean and deviation, and take its forecasts in them, for series
    whose level or swing drifts (as Kim et al. 2022, RevIN, openreview.net/forum?id=cGDAkQo1C0p, without its weights)"""

    kind: ClassVar[Kind] = "forecast"
    headline: ClassVar[str] = "rmse"
    higher_is_better: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self):
        if self.season < 0:
            raise UserError(f"--task.season is a number of steps, or 0, not {self.season}")

    def outputs(self, info: Info) -> int:
        return len(info.targets)

    def loss(self, info: Info) -> Loss:
        window, horizon, scale = info.shape[0], info.horizon, max(info.x_std)
        unit = jnp.asarray(np.asarray(info.x_std) / scale, jnp.float32)  # [K], at most 1: squares stay in float32
        if self.season > window:
            raise UserError(f"--task.season {self.season} is longer than the history, --data.window {window}")

        def loss(apply, params, state, batch, *, key=None, train=False):
            x, y, weight = batch["x"], batch["y"], batch["weight"][:, None, None]  # [B, W, K], [B, H, K]
            apply = in_units_of_window(apply) if self.by_window else apply
            if train and self.train_on == "next":
                guess, state = apply(params, state, x, key=key, train=True)
                target = jnp.concatenate([x[:, 1:], y[:, :1]], 1) if guess.ndim == 3 else y[:, 0]
                guess = guess.reshape(target.shape).astype(jnp.float32)
                error = (guess - target).reshape(len(x), -1, x.shape[-1])
            else:

                def network(state, x, h):  # its state goes from step to step, and each step has a key of its own
                    own = None if key is None else jax.random.fold_in(key, h)
                    return apply(params, state, x, key=own, train=train)

                guess, state = free_run(network, state, x, horizon)
                error = guess - y
            n = weight.sum() * error.shape[1] * error.shape[2]
            total = (weight * jnp.square(error)).sum((1, 2)).sum()
            metrics = {"loss": (total, n)}
            if not train:
                metrics["scale"] = (jnp.float32(scale), jnp.float32(1))
                forecasts = {"": guess, "naive_": jnp.broadcast_to(x[:, -1:], y.shape)}
                if self.season:
                    last = x[:, window - self.season :]
                    forecasts["seasonal_"] = jnp.take(last, np.arange(horizon) % self.season, 1)
                for name, forecast in forecasts.items():
                    own = weight * (forecast - y) * unit
                    metrics |= errors(f"{name}rmse_next", f"{name}mae_next", own[:, :1], weight)
                    metrics |= errors(f"{name}rmse", f"{name}mae", own, weight)
            return total / jnp.maximum(n, 1), (state, metrics)

        return loss

    def predict(self, info: Info) -> Callable:
        """(apply, params, state, x [B, W, K]) -> the forecast [B, H, K]."""

        def forecast(apply, params, state, x):
            apply = in_units_of_window(apply) if self.by_window else apply
            return free_run(lambda state, x, h: apply(params, state, x), state, x, info.horizon)[0]

        return forecast

    def summarize(self, sums: Sums) -> dict[str, float]:
        means = {name: float(total / max(n, 1)) for name, (total, n) in sums.items()}
        scale = means.pop("scale", 1.0)
        for name in means:
            if "rmse" in name:
                means[name] = scale * float(np.sqrt(means[name]))
            elif "mae" in name:
                means[name] *= scale
        return means


def in_units_of_window(apply: Callable) -> Callable:
    """The same network, which is given each window [W, K] by its own mean and deviation; its outputs come back in the
    window's units."""

    def scaled(params, state, x, **rest):
        mean, deviation = x.mean(1, keepdims=True), x.std(1, keepdims=True) + 1e-3
        y, state = apply(params, state, (x - mean) / deviation, **rest)
        if y.ndim == 2:
            mean, deviation = mean[:, 0], deviation[:, 0]
        return y * deviation + mean, state

    return scaled


def errors(rmse: str, mae: str, error: jax.Array, weight: jax.Array) -> dict:
    n = weight.sum() * error.shape[1] * error.shape[2]
    return {rmse: (jnp.square(error).sum((1, 2)).sum(), n), mae: (jnp.abs(error).sum((1, 2)).sum(), n)}


def free_run(network: Callable, state: Any, x: jax.Array, horizon: int) -> tuple[jax.Array, Any]:
    """The forecast [B, horizon, K] that follows x [B, W, K], for which each predicted value becomes the window's last,
    and the state after it. `network(state, x, h) -> (output, state)` is that of step h."""

    def step(before, h):
        window, state = before
        guess, state = network(state, window, h)
        guess = (guess[:, -1] if guess.ndim == 3 else guess).astype(jnp.float32)
        return (jnp.concatenate([window[:, 1:], guess[:, None].astype(window.dtype)], 1), state), guess

    (_, state), guesses = jax.lax.scan(step, (x, state), jnp.arange(horizon))
    return guesses.swapaxes(0, 1), state
