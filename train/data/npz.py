"""NumPy archives: x and y, or x_train, y_train, x_test, y_test (and x_validation, y_validation). No pickles."""

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ...errors import UserError
from .info import Kind
from .masks import UNLABELLED, as_masks
from .raw import Raw, as_examples, check_finite, check_memory, white
from .split import NAMES

BROKEN = (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def read_npz(path: Path, kind: Kind) -> Raw:
    """The examples of an NPZ file: x [N, D], [N, H, W] or [N, H, W, C]; y [N] or [N, K], of pixels [N, H, W]."""
    keys = _keys(path, headers(path))
    arrays = read_arrays(path, [key for pair in keys.values() for key in pair])
    xs = [as_examples(arrays[x], f"'{x}' of {path}") for x, _ in keys.values()]
    ys = [_targets(arrays[y], x, f"'{y}' of {path}", kind) for x, (_, y) in zip(xs, keys.values(), strict=True)]
    if len({(x.shape[1:], x.dtype) for x in xs}) > 1 or len({(y.shape[1:], y.dtype.kind) for y in ys}) > 1:
        shapes = ", ".join(
            f"{key} {list(arrays[key].shape)} {arrays[key].dtype}" for pair in keys.values() for key in pair
        )
        raise UserError(f"The splits in {path} do not go together: {shapes}.")
    sizes = {split: len(x) for split, x in zip(keys, xs, strict=True)}
    x, y = (parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in (xs, ys))
    features = () if x.ndim == 4 else tuple(f"x{i}" for i in range(x.shape[1]))
    targets = () if kind == "segmentation" else ("y",) if y.ndim == 1 else tuple(f"y{i}" for i in range(y.shape[1]))
    return Raw(x, y, sizes, (), features, targets, white(x) if x.ndim == 4 else 0.0)


def peek_npz(path: Path, kind: Kind) -> tuple[tuple[int, ...], int] | None:
    """The shape of one example, from the header, and the number of classes (from the labels) or of targets."""
    declared = headers(path)
    x_key, y_key = _keys(path, declared)["train"]
    (_, *shape), (_, *columns) = declared[x_key] or (0,), declared[y_key] or (0,)
    if len(shape) not in (1, 2, 3):
        return None
    if kind == "regression":
        outputs = math.prod(columns)
    else:
        labels = np.unique(read_arrays(path, [y_key])[y_key])
        outputs = len(labels) if kind == "classification" else int(labels[labels != UNLABELLED].max(initial=0)) + 1
    return ((*shape, 1) if len(shape) == 2 else tuple(shape)), outputs


def headers(path: Path) -> dict[str, tuple[int, ...]]:
    """The declared shape of each array. UserError for a file that is no NPZ, for objects, for more than the memory."""
    shapes, size = {}, 0
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    version = np.lib.format.read_magic(file)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = read(file)
                if dtype.hasobject:
                    raise UserError(
                        f"'{name.removesuffix('.npy')}' of {path} is an array of Python objects, which are not loaded, "
                        "for safety. Save it as numbers or as fixed-width strings."
                    )
                shapes[name.removesuffix(".npy")] = shape
                size += math.prod(shape) * dtype.itemsize
    except BROKEN as error:
        raise UserError(f"The file {path} cannot be read as an NPZ file: {error}.") from error
    check_memory(size, f"The file {path}")
    return shapes


def read_arrays(path: Path, keys: list[str]) -> dict[str, np.ndarray]:
    """Arrays of an NPZ file, for whose `headers` have been checked. UserError where one is damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {key: file[key] for key in keys}
    except BROKEN as error:
        raise UserError(f"The file {path} is damaged: {error}.") from error


def _keys(path: Path, there: dict[str, tuple[int, ...]]) -> dict[str, tuple[str, str]]:
    """The keys of x and y for each split in the file."""
    if "x" in there and "y" in there:
        return {"train": ("x", "y")}
    pairs = {split: (f"x_{split}", f"y_{split}") for split in NAMES}
    found = {split: pair for split, pair in pairs.items() if set(pair) & set(there)}
    if "train" not in found or any(not set(pair) <= set(there) for pair in found.values()):
        raise UserError(
            f"The file {path} holds the arrays {', '.join(there) or '(none)'}; needed are x and y, or x_train, y_train "
            "and, as you have them, x_validation, y_validation, x_test, y_test."
        )
    return found


def _targets(y: np.ndarray, x: np.ndarray, what: str, kind: Kind) -> np.ndarray:
    if kind == "segmentation":
        return as_masks(y, x, what)
    if y.ndim not in (1, 2) or len(y) != len(x) or 0 in y.shape:
        raise UserError(f"{what} has the shape {list(y.shape)}, for {len(x)} examples: [N] or [N, K] is needed.")
    if y.dtype.kind not in "buifU":
        raise UserError(f"{what} holds {y.dtype} values where numbers or names are needed.")
    if kind == "classification" and y.dtype.kind == "i" and y.min() < 0:
        raise UserError(f"{what} holds the label {y.min()}: labels are counted from 0, or given as names (strings).")
    check_finite(y, what)
    return y
