"""Fine-tuning: which weights a run starts from, which of them stay as they are, and how fast the others learn."""

import dataclasses
import math
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from ..errors import UserError, nearest
from ..models.core import Model
from .weights import dotted, named


@dataclass(frozen=True)
class Init:
    """Where the weights come from and how each is trained. A PATTERN is a name, which stands for all below it ("conv1",
    "conv1.kernel"), or has wildcards ("conv*.bias")."""

    source: Annotated[str, tyro.conf.arg(name="from")] = ""
    """start from weights: a run's folder (seed K from its seed-K), or a .safetensors, .pth or .pt file, in this zoo's
    names or, for the networks that purezoo.models.pytorch knows, in PyTorch's; empty: start at random"""
    fresh: tuple[str, ...] = ()
    """PATTERNs of parameters that start at random all the same, as a new last layer does"""
    freeze: tuple[str, ...] = ()
    """PATTERNs of parameters that stay as they are. Batch norm whose averages are frozen uses them in training, too"""
    rates: dict[str, float] = field(default_factory=dict)
    """PATTERN FACTOR pairs: multiply the learning rate of these parameters; of several that match, the last counts"""
    sha256: tuple[str, ...] = ()
    """refuse a file with another SHA-256 than this (or these, for several seeds); a run notes here what it read"""

    def __post_init__(self):
        if self.fresh and not self.source:
            raise UserError("--init.fresh names what is not taken from --init.from, which is not given")
        if self.sha256 and not self.source:
            raise UserError("--init.sha256 is that of the file --init.from, which is not given")
        for pattern, factor in self.rates.items():
            if factor == 0:
                raise UserError(f"--init.rates {pattern} 0: to keep it as it is, --init.freeze {pattern}")
            if not 0 < factor < math.inf:
                raise UserError(f"--init.rates {pattern} is a positive number, not {factor}")

    def absolute(self) -> "Init":
        """The same by a path that holds in any working directory, as a run records it."""
        path = str(Path(os.path.expanduser(self.source)).resolve()) if self.source else ""
        return dataclasses.replace(self, source=path)


def selected(patterns: Iterable[str], names: Collection[str], flag: str, what="parameter") -> frozenset[str]:
    """The names that match a pattern. Raises UserError for a pattern that matches none."""
    found: set[str] = set()
    for pattern in patterns:
        matching = {name for name in names if matches(pattern, name)}
        if not matching:
            heads = {name[:i] for name in names for i, letter in enumerate(name) if letter == "."}
            raise UserError(f"{flag} {pattern} matches no {what}.{nearest(pattern, {*heads, *names})}")
        found |= matching
    return frozenset(found)


def matches(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def frozen(init: Init, params: Any, state: Any) -> frozenset[str]:
    """The names of the leaves that stay as they are. Raises UserError where nothing else is left."""
    found = selected(init.freeze, named({"params": params, "state": state}), "--init.freeze")
    if found and found >= set(named({"params": params})):
        raise UserError(f"--init.freeze {' '.join(init.freeze)} leaves nothing to train")
    return found


def without(tree: Any, names: Collection[str]) -> Any:
    """The tree as it is where there are no names, else its other leaves by name: a flat dict."""
    return {n: leaf for n, leaf in named({"": tree}).items() if n not in names} if names else tree


def replaced(tree: Any, leaves: Mapping[str, Any]) -> Any:
    """The tree with some of its leaves, by name, exchanged."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaves.get(dotted(path), leaf), tree)


def whole(tree: Any, others: Any, names: Collection[str]) -> Any:
    """The inverse of `without`: the tree, with `others` in the place of the leaves that `names` does not hold."""
    return replaced(tree, others) if names else others


def factors(init: Init, trained: Any) -> dict[str, float]:
    """What the learning rate of a parameter is multiplied by, where `rates` says so, by the parameter's name.

    Raises UserError for a pattern that matches nothing that is trained.
    """
    names, found = named({"": trained}), dict[str, float]()
    for pattern, factor in init.rates.items():
        found |= dict.fromkeys(selected([pattern], names, "--init.rates", "trained parameter"), factor)
    return found


def scaled(init: Init, updates: Any) -> Any:
    """An optimiser's updates, those times the factors that have one."""
    by = factors(init, updates)
    return jax.tree_util.tree_map_with_path(lambda path, u: by[dotted(path)] * u if dotted(path) in by else u, updates)


def keep_frozen_state(model: Model, init: Init) -> Model:
    """The same network, whose frozen state no training step changes. Frozen averages are marked by an empty dict beside
    them, state["batch_norm1"]["frozen"], so that batch norm uses them as it does in evaluation."""

    def apply(params, state, x, *, key=None, train=False):
        names = frozen(init, params, state) if train else frozenset()
        if not names:
            return model.apply(params, state, x, key=key, train=train)
        y, after = model.apply(params, marked(state, names), x, key=key, train=True)
        return y, whole(state, without(after, names), names)

    return Model(model.init, apply) if init.freeze else model


def marked(state: dict, names: frozenset[str], prefix: str = "") -> dict:
    """The state with {"frozen": {}} in each dict whose leaves are all among the names."""
    out = {k: marked(v, names, f"{prefix}{k}.") if isinstance(v, dict) else v for k, v in state.items()}
    leaves = [f"{prefix}{key}" for key, value in state.items() if not isinstance(value, dict)]
    return out | {"frozen": {}} if leaves and names >= set(leaves) else out
