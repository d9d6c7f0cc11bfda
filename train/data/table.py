"""CSV files with a header: every column a feature but the target."""

import csv
import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...errors import UserError, nearest
from .info import Kind
from .raw import Raw


def read_csv(path: Path, target: str, kind: Kind) -> Raw:
    """Features [N, D] float32 and the column `target` [N]: integers where all are, else floats, else strings, as
    classes such as 01 and 1 are, too.

    A task of reconstruction needs no target: without one every column is a feature.
    """
    with open_csv(path) as (header, rows):
        if kind == "reconstruction" and not target:
            x, _ = read_columns(path, header, rows, header)
            return Raw(x, np.zeros(len(x), np.int64), {"train": len(x)}, features=tuple(header))
        chosen = _target(path, header, target)
        features = [name for name in header if name != chosen]
        x, y = read_columns(path, header, rows, features, chosen)
    return Raw(x, _typed(y, kind), {"train": len(x)}, features=tuple(features), targets=(chosen,))


def peek_csv(path: Path, target: str, kind: Kind) -> tuple[tuple[int, ...], int]:
    """The number of features, from the header, and of classes, from the column `target`; 1 target for regression."""
    with open_csv(path) as (header, rows):
        if kind == "reconstruction" and not target:
            return (len(header),), 0
        place = header.index(_target(path, header, target))
        cells = [row[place].strip() for _, row in rows]
        if not cells:
            raise UserError(f"The file {path} has a header and no rows.")
        outputs = 1 if kind == "regression" else len(np.unique(_typed(cells, kind)))
    return (len(header) - 1,), outputs


@contextmanager
def open_csv(path: Path) -> Iterator[tuple[list[str], Iterator[tuple[int, list[str]]]]]:
    """The header's names, and an iterator over (line number, cells) that skips blank lines.

    Columns are separated by commas, or by semicolons or tabs where the header has those and no comma. UserError for
    a file that is no such table, whenever that shows.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = next((mark for mark in ",;\t" if mark in first), ",")
            reader = csv.reader(file, delimiter=separator, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            yield header, _rows(path, reader, len(header))
    except UnicodeDecodeError as error:
        raise UserError(f"The file {path} is not text in UTF-8: {error}.") from error
    except csv.Error as error:
        raise UserError(f"Line {reader.line_num} of {path} is not CSV: {error}.") from error
    except OSError as error:
        raise UserError(f"The file {path} cannot be read: {error.strerror or error}.") from error


def _check_header(path: Path, header: list[str]) -> None:
    if not header:
        raise UserError(f"The file {path} is empty, or begins with an empty line: a header is needed.")
    if twice := [name for i, name in enumerate(header) if name in header[:i]]:
        raise UserError(f"The header of {path} has the column '{twice[0]}' twice.")
    if "" in header:
        raise UserError(f"Column {header.index('') + 1} of {path} has no name (an index that was saved along?).")
    if all(map(_is_number, header)):
        raise UserError(
            f"The first line of {path} holds only numbers ({header[0]}, ...): a header with names is needed."
        )


def _rows(path: Path, reader, width: int) -> Iterator[tuple[int, list[str]]]:
    for row in reader:
        if len(row) == width:
            yield reader.line_num, row
        elif row:
            raise UserError(f"Line {reader.line_num} of {path} has {len(row)} cells, and the header has {width}.")


def read_columns(
    path: Path, header: list[str], rows: Iterator[tuple[int, list[str]]], features: list[str], target: str = ""
) -> tuple[np.ndarray, list[str]]:
    """The columns `features` as [N, D] float32, in that order, and the cells of the column `target` (if named).

    UserError naming line and column of the first cell that is empty or no finite number, and where N or D is 0.
    """
    if not features:
        raise UserError(f"The file {path} has no column beside the target '{target}'.")
    places = [header.index(name) for name in features]
    place = header.index(target) if target else -1
    numbers, lines, labels = array("f"), array("q"), []
    for line, row in rows:
        try:
            numbers.extend([number(row[i]) for i in places])
        except ValueError:
            name, cell = next(
                (name, row[i]) for name, i in zip(features, places, strict=True) if not _is_number(row[i])
            )
            what = f"'{cell}' is no number" if cell.strip() else "the cell is empty"
            raise UserError(f"Line {line} of {path}, column '{name}': {what}, and every feature must be one.") from None
        lines.append(line)
        if target:
            labels.append(row[place].strip())
    if not numbers:
        raise UserError(f"The file {path} has a header and no rows.")
    x = np.frombuffer(numbers, np.float32).reshape(-1, len(features))
    if (bad := np.argwhere(~np.isfinite(x))).size:
        row, column = bad[0]
        raise UserError(
            f"Line {lines[row]} of {path}, column '{features[column]}': missing, infinite or too large for float32 "
            f"({x[row, column]})."
        )
    if "" in labels:
        raise UserError(f"Line {lines[labels.index('')]} of {path} has no value in the target column '{target}'.")
    return x, labels


def _target(path: Path, header: list[str], target: str) -> str:
    if not target:
        raise UserError(f"Name the column of {path} to predict with --data.target: {', '.join(header)}.")
    if target not in header:
        raise UserError(
            f"The file {path} has no column '{target}'.{nearest(target, header)} Its columns: {', '.join(header)}."
        )
    return target


def number(cell: str) -> float:
    """What the cell says. ValueError where that is no number; 1_000 is one in Python, and none here."""
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def _typed(cells: list[str], kind: Kind) -> np.ndarray:
    """Integers where every cell is a whole number, else floats where all are numbers, else the strings. A class whose
    name begins with a zero, such as a postal code, is a name."""
    named = kind != "regression" and any(re.match(r"[+-]?0\d", cell) for cell in cells)
    if named or not all(map(_is_number, cells)):
        return np.array(cells)
    y = np.array([float(cell) for cell in cells])
    return y.astype(np.int64) if np.all(y == np.trunc(y)) and np.abs(y).max() < 2**53 else y


def _is_number(cell: str) -> bool:
    try:
        number(cell)
    except ValueError:
        return False
    return True
