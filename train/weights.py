"""Weights as one safetensors file: an array for each leaf of params and state, named by its path: "conv1.kernel"."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import UserError, nearest


def save(path: Path, weights: dict) -> None:
    """Writes {"params", "state"} to a file, which is replaced only when the new one is whole. Raises OSError."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    part = path.with_suffix(".part")
    try:
        save_file({name: np.asarray(leaf, order="C") for name, leaf in named(weights).items()}, part)
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
    part.chmod(0o666 & ~_umask())  # safetensors lets nobody else read
    os.replace(part, path)


def load(path: Path, like: dict) -> dict:
    """The weights of a file, NumPy arrays in the structure of `like`. Raises UserError where names or shapes differ."""
    if not path.is_file():
        raise UserError(f"there is no file {path}: did the run finish? `purezoo train --resume` goes on with it")
    found, expected = read(path), named(like)
    if wrong := differences(found, expected):
        raise UserError(f"{path}: {but_first(wrong)}")
    leaves = [found[name] for name in expected]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name. Raises UserError for a damaged one and for float8."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    except AttributeError as error:  # safetensors looks for it in NumPy
        raise UserError(f"{path} has a dtype that is not read, such as float8") from error


def floating(array: Any) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.floating))


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """What keeps the arrays that were found from being those expected, one sentence for each name."""
    wrong = []
    for name, leaf in expected.items():
        if name not in found:
            wrong.append(f"it has no '{name}'.{nearest(name, set(found) - set(expected))}")
        elif found[name].shape != leaf.shape:
            wrong.append(f"'{name}' has shape {found[name].shape}, the network needs {leaf.shape}")
        elif found[name].dtype != leaf.dtype and not (floating(found[name]) and floating(leaf)):
            wrong.append(f"'{name}' has dtype {found[name].dtype}, the network needs {leaf.dtype}")
    for name in sorted(set(found) - set(expected)):
        wrong.append(f"it has '{name}', which the network has not.{nearest(name, set(expected) - set(found))}")
    return wrong


def but_first(messages: list[str]) -> str:
    """The first message and how many more there are."""
    return messages[0] + (f" ({len(messages) - 1} more such differences)" if len(messages) > 1 else "")


def named(weights: dict) -> dict[str, Any]:
    """The leaves of {"params", "state"} by dotted names, in the order of the tree. Both share one space of names."""
    found: dict[str, Any] = {}
    for (_, *path), leaf in jax.tree_util.tree_leaves_with_path(weights):
        if dotted(path) in found:
            raise UserError(f"params and state both have '{dotted(path)}'")
        found[dotted(path)] = leaf
    return found


def dotted(path: Iterable[Any]) -> str:
    """The name of a leaf of params or state by its path in JAX's terms: "conv1.kernel". Raises UserError for lists."""
    path = tuple(path)
    if not all(hasattr(part, "key") for part in path):
        raise UserError(f"params and state are nested dicts of arrays, and {jax.tree_util.keystr(path)} is in no dict")
    return ".".join(str(part.key) for part in path)


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
