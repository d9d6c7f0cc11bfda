"""Several trained networks as one, which gives the average of what they predict."""

from dataclasses import dataclass, replace

import jax
import numpy as np

from ..models.core import Model, as_model
from .augment import average
from .config import Experiment, Network
from .data import Info
from .data.info import Kind
from .init import Init
from .steps import Functions, functions

KINDS: tuple[Kind, ...] = ("classification", "regression", "segmentation")  # whose outputs have an average


@dataclass(frozen=True)
class Ensemble:
    """An ensemble of networks trained from different seeds. Lakshminarayanan et al. 2017, arXiv:1612.01474.

    params and state are those of one network with a leading axis of members. The output is the members' mean; of
    logits the logarithm of their mean probability, by which it is logits again.
    """

    network: Network
    members: int
    kind: Kind
    """of the task, which tells whether outputs are logits"""

    def build(self) -> Model:
        model = as_model(self.network.build())

        def init(key, spec):
            return jax.vmap(lambda key: model.init(key, spec))(jax.random.split(key, self.members))

        def apply(params, state, x, *, key=None, train=False):
            keys = None if key is None else jax.random.split(key, self.members)

            def member(own):
                params, state, key = own
                return model.apply(params, state, x, key=key, train=train)

            outputs, state = jax.lax.map(member, (params, state, keys))  # one after another: memory for one
            return average(outputs, self.kind), state

        return Model(init, apply)


def ensemble(experiment: Experiment, info: Info, members: list[dict]) -> tuple[Functions, dict]:
    """The functions of a run's seeds together, and its weights: those of the seeds, {"params", "state"} each."""
    together = Ensemble(experiment.model, len(members), info.kind)
    weights = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    return functions(replace(experiment, model=together, init=Init()), info, steps=1), weights
