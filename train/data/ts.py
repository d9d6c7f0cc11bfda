"""Files in the .ts format of the UEA and UCR archives: labelled time series, of one or more dimensions.

A header of @-lines, then one example a line: dimensions parted by colons, their values by commas, the label last. The
archives' NAME_TRAIN.ts and NAME_TEST.ts belong together. Middlehurst et al. 2024, arXiv:2304.13029.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import UserError
from .examples import shape_of
from .ragged import RULES, Fill, filled, joined
from .raw import Raw

PARTS = {"train": "_TRAIN", "test": "_TEST"}


class Series(NamedTuple):
    """The examples of one file."""

    x: list[np.ndarray]  # of each [T, D] float32
    labels: list[str]  # [] where the file has none
    classes: tuple[str, ...]  # as the header has them


def read_ts(path: Path, fill: Fill) -> Raw:
    """The examples of a file; of both where it is NAME_TRAIN.ts or NAME_TEST.ts and the other lies beside it."""
    parts = {name: read_file(file, fill) for name, file in _files(path).items()}
    first = parts["train"]
    if not first.labels:
        raise UserError(f"The examples of {path} have no class labels.")
    for name, part in parts.items():
        if {*part.classes} != {*first.classes} or part.x[0].shape[1] != first.x[0].shape[1]:
            raise UserError(f"The {name} file of {path} has other classes or dimensions than the training file.")
    classes, dimensions = first.classes, first.x[0].shape[1]
    index = {name: i for i, name in enumerate(classes)}
    return Raw(
        joined([x for part in parts.values() for x in part.x], str(path)),
        np.array([index[label] for part in parts.values() for label in part.labels], np.int32),
        {name: len(part.x) for name, part in parts.items()},
        classes,
        features=tuple(f"x{i}" for i in range(dimensions)),
    )


def read_file(path: Path, fill: Fill, mend: str = RULES) -> Series:
    """The examples of one file. UserError naming the line where it is not as the format says, or lacks a value without
    a rule: then with the advice `mend`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The file {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    header, begin = _header(path, lines)
    if empty := [name for name in ("classLabel", "targetLabel") if not header.get(name.lower(), "false")]:
        raise UserError(f"{path} has a line @{empty[0]} that says neither true nor false.")
    labelled, *classes = header.get("classlabel", "false").split()
    if header.get("targetlabel", "false").split()[0].lower() == "true":
        raise UserError(f"{path} has numbers to predict (@targetLabel), and .ts files are read for classes alone.")
    if header.get("timestamps", "false").lower() == "true":
        raise UserError(f"{path} has time stamps (@timeStamps true), which are not read: series at even steps are.")
    labels, xs = list[str](), list[np.ndarray]()
    for number, line in enumerate(lines[begin:], begin + 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.strip().split(":")
        where = f"Line {number} of {path}"
        if labelled.lower() == "true":
            labels.append(parts.pop().strip())
            if labels[-1] not in classes:
                raise UserError(f"{where} has the class '{labels[-1]}', which @classLabel lacks.")
        if not parts:
            raise UserError(f"{where} has a class and no values.")
        xs.append(filled(_dimensions(parts, where), fill, where, mend))
        if xs[-1].shape[1] != xs[0].shape[1]:
            raise UserError(f"{where} has {xs[-1].shape[1]} dimensions, and the first example {xs[0].shape[1]}.")
    if not xs:
        raise UserError(f"The file {path} holds no example.")
    return Series(xs, labels, tuple(classes))


def peek_ts(path: Path, fill: Fill) -> tuple[tuple[int, ...], int]:
    """The shape of the longest example and the number of classes."""
    raw = read_ts(path, fill)
    return shape_of(raw.x), len(raw.classes)


def _files(path: Path) -> dict[str, Path]:
    for part in PARTS.values():
        if path.stem.upper().endswith(part):
            stem, same = path.stem[: -len(part)], str.upper if path.stem.endswith(part) else str.lower
            both = {name: path.with_stem(stem + same(other)) for name, other in PARTS.items()}
            if all(file.is_file() for file in both.values()):
                return both
    return {"train": path}


def _header(path: Path, lines: list[str]) -> tuple[dict[str, str], int]:
    """What the @-lines say, by lower-case names, and the number of lines up to the data."""
    said: dict[str, str] = {}
    for number, line in enumerate(lines):
        if line.strip().lower() == "@data":
            return said, number + 1
        if line.startswith("@"):
            name, _, value = line[1:].strip().partition(" ")
            said[name.lower()] = value.strip()
        elif line.strip() and not line.startswith("#"):
            break
    raise UserError(f"{path} is no .ts file: it has no line @data after its header.")


def _dimensions(parts: list[str], where: str) -> np.ndarray:
    """[T, D] float32, NaN where a value is missing."""
    try:
        columns = [[float(cell.replace("?", "nan")) for cell in part.split(",")] for part in parts]
    except ValueError as error:
        raise UserError(f"{where}: {error}; values are numbers, or ? where they are missing.") from None
    if len({len(column) for column in columns}) != 1:
        raise UserError(
            f"{where} has dimensions of {', '.join(str(len(c)) for c in columns)} steps: they must be as long."
        )
    values = np.array(columns).T
    if (large := np.abs(values) > np.finfo(np.float32).max).any():
        raise UserError(f"{where}: {values[large][0]:g} is infinite, or too large for float32.")
    return values.astype(np.float32)
