"""What a flow makes up: examples of the classes that are asked for."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import UserError, nearest
from ..models.flows import NO_CLASS, Sampler, guided, sample
from .config import Experiment
from .data import Info
from .flow import FlowMatching, raw_values

TOGETHER = 250  # examples drawn at a time, so that memory does not grow with the count


@dataclass(frozen=True)
class Drawing:
    """How a flow draws examples."""

    classes: tuple[str, ...] = ()
    """names of the classes to draw, in turn; empty: all"""
    steps: int = 50
    """of the way from noise to data"""
    guidance: float = 1.0
    """how much the class counts: 0 not at all, 1 as in the data, more exaggerates it"""
    sampler: Sampler = "heun"
    """heun and euler follow the flow's ODE, by two evaluations a step and by one; stochastic adds
    noise before each step"""

    def __post_init__(self):
        if self.steps < 1:
            raise UserError(f"--steps is at least 1, not {self.steps}")
        if not 0 <= self.guidance < float("inf"):
            raise UserError(f"--guidance is at least 0, not {self.guidance}")

    def labels(self, experiment: Experiment, info: Info, count: int) -> np.ndarray:
        """The class of each of `count` examples, int32. UserError for what the run has not learned."""
        told = info.classes if getattr(experiment.model, "classes", len(info.classes)) else ()
        if not told and (self.classes or self.guidance != 1):
            raise UserError(
                "--classes and --guidance are for networks that are told classes, and this one was told none"
            )
        for name in self.classes:
            if name not in told:
                raise UserError(f"--classes: the run knows no class '{name}'.{nearest(name, told)}")
        if not told:
            return np.full(count, NO_CLASS, np.int32)
        assert isinstance(experiment.task, FlowMatching)
        if self.guidance != 1 and experiment.task.unlabelled == 0:
            raise UserError(f"--guidance {self.guidance:g} is for a network trained with --task.unlabelled above 0")
        chosen = [told.index(name) for name in self.classes or told]
        return np.resize(np.array(chosen, np.int32), count)


def drawer(experiment: Experiment, info: Info, weights: dict, drawing: Drawing) -> Callable:
    """(labels [N], seed) -> examples [N, ...] float32 in the data's own values, of which each one depends on the seed
    and its place alone."""
    apply = experiment.model.build().apply

    @jax.jit
    def some(weights, keys, label):
        field = guided(apply, weights["params"], weights["state"], label, drawing.guidance)
        return sample(field, keys, (len(label), *info.shape), drawing.steps, drawing.sampler)

    def draw(labels: np.ndarray, seed: int) -> np.ndarray:
        n, size = len(labels), min(TOGETHER, len(labels))
        places = np.arange(-(-n // size) * size)
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))(jnp.asarray(places))
        padded = np.resize(labels, len(places))
        parts = [np.asarray(some(weights, keys[i : i + size], padded[i : i + size])) for i in places[::size]]
        return raw_values(info, np.concatenate(parts)[:n])

    return draw
