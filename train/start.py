"""The weights that a run starts from (`--init.from`): read from their files, and checked against the network."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..errors import UserError, nearest
from ..models import pytorch
from ..models.core import count
from . import pth, weights
from .config import Experiment
from .init import frozen, matches, selected


class Start:
    """`start(seeds)` gives the arrays that seeds start from, by dotted name; {} without --init.from.

    A file is read when it is first needed: a run that goes on from a checkpoint does without. Raises UserError for a
    file that is missing or damaged, or does not fit the network.
    """

    def __init__(self, experiment: Experiment, like: dict):
        """`like`: shapes of {"params", "state"}."""
        self.experiment, self.like = experiment, like
        fresh = experiment.init.fresh
        taken = {name: leaf for name, leaf in weights.named(like).items() if not any_matches(fresh, name)}
        if experiment.init.source and not taken:
            nothing = f"--init.fresh {' '.join(fresh)} leaves nothing to take from it"
            raise UserError(f"--init.from {experiment.init.source}: {nothing}")
        self.spec = taken if experiment.init.source else {}  # shapes of what `start([seed])` gives
        self.read = functools.cache(self._read)

    def __call__(self, seeds: list[int]) -> dict[str, np.ndarray]:
        """With several seeds the arrays have a leading axis of seeds."""
        if not self.spec:
            return {}
        each = [self.read(file)[0] for file in self.files(seeds)]
        return each[0] if len(seeds) == 1 else {name: np.stack([one[name] for one in each]) for name in self.spec}

    def noted(self, seeds: list[int]) -> Experiment:
        """The experiment with the SHA-256 of what its seeds start from, after reading all of it."""
        if not self.spec:
            return self.experiment
        digests = tuple(dict.fromkeys(self.read(file)[1] for file in self.files(seeds)))
        return dataclasses.replace(self.experiment, init=dataclasses.replace(self.experiment.init, sha256=digests))

    def opening(self) -> str:
        """What is special about the weights, for the first lines of a run; "" where nothing is."""
        init, leaves = self.experiment.init, weights.named({"params": self.like["params"]})
        still = frozen(init, self.like["params"], self.like["state"]) & set(leaves)
        said = [f"weights of {init.source}"] if init.source else []
        said += [f"new {', '.join(init.fresh)}"] if init.fresh else []
        said += [f"{count([leaves[name] for name in still]):,} of {count(leaves):,} parameters frozen"] if still else []
        return ", ".join(said)

    def files(self, seeds: list[int]) -> list[Path]:
        return [file_of(Path(self.experiment.init.source), seed) for seed in seeds]

    def _read(self, file: Path) -> tuple[dict[str, np.ndarray], str]:
        """The arrays of a file in the network's names, shapes and dtypes, and the file's SHA-256."""
        init, network = self.experiment.init, self.experiment.model
        try:
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            found = weights.read(file) if file.suffix == ".safetensors" else pth.read(file)
        except OSError as error:
            raise UserError(f"--init.from {file}: {error.strerror}") from error
        if init.sha256 and digest not in init.sha256:
            raise UserError(f"--init.from {file} is not the file that --init.sha256 asks for: its SHA-256 is {digest}")
        selected(init.fresh, {*weights.named(self.like), *found}, "--init.fresh")
        try:
            arrays = fitted(network, found, self.like, init.fresh)
        except ValueError as error:
            said = str(error).replace(":\n  ", ": ").replace("\n  ", "; ")  # PyTorch's differences have several lines
            raise UserError(f"--init.from {file}: {said}{remedy(network, found, self.like, init.fresh)}") from error
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise UserError(f"--init.from {file}: '{name}' holds numbers that are not finite")
        return arrays, digest


def file_of(source: Path, seed: int) -> Path:
    """The file that a seed starts from. Raises UserError where there is none."""
    if not source.exists():
        beside = [path.name for path in source.parent.iterdir()] if source.parent.is_dir() else []
        raise UserError(f"--init.from {source}: there is no such file or folder.{nearest(source.name, beside)}")
    if not source.is_dir():
        if source.suffix not in (".safetensors", ".pth", ".pt"):
            raise UserError(f"--init.from {source}: weights come as a run's folder, .safetensors, .pth or .pt")
        return source
    own, of_seed = source / "model.safetensors", source / f"seed-{seed}" / "model.safetensors"
    if own.is_file() or of_seed.is_file():
        return own if own.is_file() else of_seed
    if others := sorted(path.parent.name for path in source.glob("seed-*/model.safetensors")):
        raise UserError(
            f"--init.from {source} has {', '.join(others)}, and this is seed {seed}: start from one of them, "
            f"--init.from {source / others[0]}"
        )
    raise UserError(f"--init.from {source} is no finished run: it has no model.safetensors")


def fitted(network: Any, found: Mapping[str, np.ndarray], like: dict, fresh: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of a file by the network's names, in its shapes and dtypes, without those that start anew.

    The file has our names, or PyTorch's. Raises ValueError with the difference where it does not fit.
    """
    needed = weights.named(like)
    kept = {name for name in needed if any_matches(fresh, name)}
    found = {name: array for name, array in found.items() if not any_matches(fresh, name)}
    theirs = their_names(network, found)
    if len(set(theirs.values()) & set(found)) > len(set(needed) & set(found)):
        arrays = weights.named(pytorch.from_pytorch(network, found, like, kept))
        return {name: arrays[name] for name in theirs if name in needed and name not in kept}  # no carried state
    taken = {name: leaf for name, leaf in needed.items() if name not in kept}
    if wrong := weights.differences(found, taken):
        raise ValueError(weights.but_first(wrong))
    return {name: np.asarray(found[name], leaf.dtype) for name, leaf in taken.items()}


def remedy(network: Any, found: Mapping[str, np.ndarray], like: dict, fresh: tuple[str, ...]) -> str:
    """What to say where the weights fit but for some layers, such as the last one of other classes."""
    needed = weights.named(like)
    new = layers_of(name for name in misfits(network, found, needed) if not any_matches(fresh, name))
    if new == layers_of(needed):
        return ""
    try:
        fitted(network, found, like, (*fresh, *new))
    except ValueError:
        return ""
    return f". For a new {' and '.join(new)}: --init.fresh {' '.join((*fresh, *new))}"


def misfits(network: Any, found: Mapping[str, np.ndarray], needed: Mapping[str, Any]) -> list[str]:
    """The names of leaves that the file has not, neither by their own name nor by PyTorch's, or has otherwise."""
    theirs = their_names(network, found)

    def fits(name: str, leaf: Any) -> bool:
        ours, other = found.get(name), found.get(theirs.get(name, ""))
        if ours is not None:
            return not weights.differences({name: ours}, {name: leaf})
        if other is None or not jnp.issubdtype(other.dtype, jnp.floating):  # which bfloat16 is, unlike for NumPy
            return False
        return pytorch.fits(other.shape, name, leaf.shape)

    return [name for name, leaf in needed.items() if not fits(name, leaf)]


def their_names(network: Any, found: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The names in PyTorch of a network's leaves; {} for a network without a map."""
    try:
        return pytorch.names(network, found)
    except ValueError:
        return {}


def layers_of(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] for name in names))


def any_matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)
