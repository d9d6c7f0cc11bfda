"""Weights as one safetensors file: an array for each leaf of params and state, named by its path: "conv1.kernel"."""

import os
import re
from pathlib import Path

import jax
import numpy as np

from ..errors import UserError, nearest


def save(path: Path, weights: dict) -> None:
    """Writes {"params", "state"} to a file, which is replaced only when the new one is whole. Raises OSError."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    part = path.with_suffix(".part")
    try:
        save_file({name: np.ascontiguousarray(leaf) for name, leaf in _names(weights).items()}, part)
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
    part.chmod(0o666 & ~_umask())  # safetensors lets nobody else read
    os.replace(part, path)


def load(path: Path, like: dict) -> dict:
    """The weights of a file, NumPy arrays in the structure of `like`. Raises UserError where names or shapes differ."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(path)
    except FileNotFoundError:
        raise UserError(
            f"there is no file {path}: did the run finish? `purezoo train --resume` goes on with it"
        ) from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    expected = _names(like)
    for name, leaf in expected.items():
        if name not in found:
            raise UserError(f"{path} has no '{name}'.{nearest(name, found)}")
        if found[name].shape != leaf.shape:
            raise UserError(f"{path}: '{name}' has shape {found[name].shape}, the network needs {leaf.shape}")
    extra = sorted(set(found) - set(expected))
    if extra:
        raise UserError(f"{path} has '{extra[0]}', which the network has not.{nearest(extra[0], expected)}")
    leaves = [found[name] for name in expected]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _names(weights: dict) -> dict:
    """Dotted names of all leaves, in the order of the tree. Params and state share one space of names."""
    named = {}
    for (_, *path), leaf in jax.tree_util.tree_leaves_with_path(weights):
        name = ".".join(str(part.key) for part in path)
        if name in named:
            raise UserError(f"params and state both have '{name}'")
        named[name] = leaf
    return named


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
