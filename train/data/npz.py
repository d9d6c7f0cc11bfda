"""NumPy archives: x and y, or x_train, y_train, x_test, y_test (and x_validation, y_validation). No pickles.

Beside x there may be lengths: then x holds sequences of these lengths one after another.
"""

import math
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path
from tokenize import TokenError

import numpy as np

from ...errors import UserError
from .info import Kind
from .masks import UNLABELLED, as_masks
from .ragged import joined
from .raw import Raw, as_examples, check_finite, check_memory, white
from .split import NAMES

BROKEN = (
    OSError, ValueError, EOFError, RuntimeError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, LZMAError, TokenError,
)  # fmt: skip


def read_npz(path: Path, kind: Kind) -> Raw:
    """The examples of an NPZ file: x [N, D], [N, H, W] or [N, H, W, C]; y [N] or [N, K], of pixels [N, H, W]."""
    there = headers(path)
    keys = _keys(path, there, labelled=kind != "reconstruction")
    if any(lengths_of(x) in there for x, _ in keys.values()):
        if kind == "reconstruction":
            raise UserError(
                f"The file {path} holds sequences of different lengths, which no autoencoder here restores."
            )
        return _read_sequences(path, keys, there)
    arrays = read_arrays(path, [key for pair in keys.values() for key in pair if key])
    xs = [as_examples(arrays[x], f"'{x}' of {path}") for x, _ in keys.values()]
    ys = [
        _targets(arrays[y], x, f"'{y}' of {path}", kind) if y else np.zeros(len(x), np.int64)
        for x, (_, y) in zip(xs, keys.values(), strict=True)
    ]
    if len({(x.shape[1:], x.dtype) for x in xs}) > 1 or len({(y.shape[1:], y.dtype.kind) for y in ys}) > 1:
        shapes = ", ".join(
            f"{key} {list(arrays[key].shape)} {arrays[key].dtype}" for pair in keys.values() for key in pair if key
        )
        raise UserError(f"The splits in {path} do not go together: {shapes}.")
    sizes = {split: len(x) for split, x in zip(keys, xs, strict=True)}
    x, y = (parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in (xs, ys))
    features = () if x.ndim == 4 else tuple(f"x{i}" for i in range(x.shape[1]))
    targets = () if kind == "segmentation" else ("y",) if y.ndim == 1 else tuple(f"y{i}" for i in range(y.shape[1]))
    return Raw(x, y, sizes, (), features, targets, white(x) if x.ndim == 4 else 0.0)


def _read_sequences(path: Path, keys: dict[str, tuple[str, str]], there: dict[str, tuple[int, ...]]) -> Raw:
    """Sequences of x [sum of the lengths, D] or [sum of the lengths], with one label each."""
    xs, ys, sizes = list[np.ndarray](), list[np.ndarray](), {}
    for split, (x_key, y_key) in keys.items():
        if lengths_of(x_key) not in there:
            raise UserError(f"The file {path} has no {lengths_of(x_key)} for {x_key}, and other splits have lengths.")
        arrays = read_arrays(path, [x_key, lengths_of(x_key), y_key])
        parts = sequences(arrays[x_key], arrays[lengths_of(x_key)], f"'{x_key}' of {path}")
        ys.append(_targets(arrays[y_key], np.empty(len(parts)), f"'{y_key}' of {path}", "classification"))
        xs += parts
        sizes[split] = len(parts)
    if len({x.shape[1] for x in xs}) > 1 or len({(y.shape[1:], y.dtype.kind) for y in ys}) > 1:
        raise UserError(f"The splits in {path} do not go together: other dimensions, or other labels.")
    features = tuple(f"x{i}" for i in range(xs[0].shape[1]))
    return Raw(joined(xs, f"The file {path}"), np.concatenate(ys), sizes, (), features)


def lengths_of(x_key: str) -> str:
    """x -> lengths, x_train -> lengths_train."""
    return "lengths" + x_key.removeprefix("x")


def sequences(x: np.ndarray, lengths: np.ndarray, what: str) -> list[np.ndarray]:
    """x [M, D] or [M], of sequences one after another, as each one's [T, D] float32."""
    if x.ndim not in (1, 2):
        raise UserError(f"{what} has the shape {list(x.shape)}; with lengths it is [their sum, D] or [their sum].")
    x = as_examples(x[:, None] if x.ndim == 1 else x, what)
    if lengths.dtype.kind not in "ui":
        raise UserError(f"The lengths of {what} are {lengths.dtype}: they must be integers.")
    if lengths.ndim != 1 or len(lengths) < 1 or lengths.min() < 1:
        raise UserError(f"The lengths of {what} must be whole numbers of at least 1, one for each sequence.")
    if lengths.sum() != len(x):
        raise UserError(f"The lengths of {what} add up to {lengths.sum():,}, and it holds {len(x):,} steps.")
    return np.split(x, np.cumsum(lengths)[:-1])


def peek_npz(path: Path, kind: Kind) -> tuple[tuple[int, ...], int] | None:
    """The shape of one example, from the header, and the number of classes (from the labels) or of targets."""
    declared = headers(path)
    x_key, y_key = _keys(path, declared, labelled=kind != "reconstruction")["train"]
    (_, *shape), (_, *columns) = declared[x_key] or (0,), declared.get(y_key) or (0,)
    if len(shape) not in (0, 1, 2, 3):
        return None
    if (lengths := lengths_of(x_key)) in declared:
        shape = [int(read_arrays(path, [lengths])[lengths].max(initial=0)), *(shape or [1])]
    elif not shape:
        return None
    if kind == "regression":
        outputs = math.prod(columns)
    elif kind == "reconstruction":
        outputs = 0
    else:
        labels = np.unique(read_arrays(path, [y_key])[y_key])
        outputs = len(labels) if kind == "classification" else int(labels[labels != UNLABELLED].max(initial=0)) + 1
    image = len(shape) == 2 and lengths not in declared
    return ((*shape, 1) if image else tuple(shape)), outputs


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


def _keys(path: Path, there: dict[str, tuple[int, ...]], labelled: bool) -> dict[str, tuple[str, str]]:
    """The keys of x and y for each split in the file; "" for y where it has none and they are not needed."""
    if not labelled and not any(key.startswith("y") for key in there):
        if "x" in there:
            return {"train": ("x", "")}
        if "x_train" in there:
            return {split: (f"x_{split}", "") for split in NAMES if f"x_{split}" in there}
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
