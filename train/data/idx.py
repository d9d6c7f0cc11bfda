"""MNIST's own file format (IDX): four files of images and labels, plain or gzipped. Format: LeCun's MNIST page."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from ...errors import UserError
from .raw import Raw, as_examples, check_memory, white

DAMAGED = (OSError, EOFError, zlib.error)
FILES = {  # MNIST's names; the kind of each (3 dimensions: images, 1: labels) is part of them
    "train images": "train-images-idx3-ubyte",
    "train labels": "train-labels-idx1-ubyte",
    "test images": "t10k-images-idx3-ubyte",
    "test labels": "t10k-labels-idx1-ubyte",
}


def find_idx(folder: str) -> dict[str, Path]:
    """The four files in `folder`, by what they hold; {} where none is there. UserError where some are missing."""
    found: dict[str, Path] = {}
    if not folder:
        return found
    for what, name in FILES.items():
        spellings = (name, name.replace("-idx", ".idx"))
        paths = [Path(folder).expanduser() / f"{spelling}{end}" for spelling in spellings for end in ("", ".gz")]
        if there := [path for path in paths if path.is_file()]:
            found[what] = there[0]
    if missing := [FILES[what] for what in FILES if what not in found]:
        if not found:
            return {}
        raise UserError(f"The folder {folder} holds IDX files, but not {', '.join(missing)} (or the same with .gz).")
    return found


def read_idx(folder: str) -> Raw:
    """Images [N, H, W, 1] uint8 and labels of a folder with MNIST-like files, training examples first."""
    paths = _find(folder)
    sizes, images, labels = {}, [], []
    for split in ("train", "test"):
        x, y = read_array(paths[f"{split} images"], 3), read_array(paths[f"{split} labels"], 1)
        if len(x) != len(y):
            raise UserError(f"{paths[f'{split} images']} has {len(x)} images, and the file of the labels has {len(y)}.")
        sizes[split] = len(x)
        images.append(x)
        labels.append(y)
    if images[0].shape[1:] != images[1].shape[1:]:
        raise UserError(
            f"{folder} has training images of {images[0].shape[1:]} and test images of {images[1].shape[1:]}."
        )
    x = as_examples(np.concatenate(images), folder)
    return Raw(x, np.concatenate(labels), sizes, pixel_max=white(x))


def peek_idx(folder: str) -> tuple[tuple[int, ...], int]:
    """The shape of one image, from the header of its file, and the number of classes, from the training labels."""
    paths = _find(folder)
    try:
        with _open(paths["train images"]) as file:
            shape = _header(file.read(16), paths["train images"], 3)
    except DAMAGED as error:
        raise UserError(f"The file {paths['train images']} cannot be read: {error}.") from error
    return (*shape[1:], 1), len(np.unique(read_array(paths["train labels"], 1)))


def read_array(path: Path, rank: int) -> np.ndarray:
    """The bytes of an IDX file as a uint8 array of `rank` dimensions. UserError where it is not one, or cut short."""
    head = 4 + 4 * rank
    try:
        with _open(path) as file:
            shape = _header(file.read(head), path, rank)
            size = math.prod(shape)
            check_memory(size, f"The file {path}")
            content = file.read(size + 1)
    except DAMAGED as error:
        raise UserError(f"The file {path} cannot be read: {error}.") from error
    if len(content) != size:
        amount = "more" if len(content) > size else f"only {len(content)}"
        raise UserError(f"The file {path} is damaged: its header promises {size} bytes, and there are {amount}.")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _find(folder: str) -> dict[str, Path]:
    if not (paths := find_idx(folder)):
        raise UserError(
            f"There are no IDX files in {folder}: {', '.join(FILES.values())} (or the same with .gz) are needed."
        )
    return paths


def _open(path: Path):
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _header(head: bytes, path: Path, rank: int) -> tuple[int, ...]:
    """The shape, from the magic number (two zeros, 8 for unsigned bytes, the rank) and one 32-bit size a dimension."""
    if len(head) != 4 + 4 * rank or head[:4] != bytes((0, 0, 8, rank)):
        raise UserError(
            f"The file {path} is not an IDX file of bytes in {rank} dimensions: it begins with {head[:4].hex(' ')}."
        )
    return tuple(np.frombuffer(head, ">u4", offset=4).tolist())
