"""Reading what a user wants predicted: an image, a CSV or an NPZ file, as the examples of the training were read."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import UserError, nearest
from .examples import Ragged
from .images import MODES, pixels, read_picture, square
from .info import Info
from .npz import headers, lengths_of, read_arrays, sequences
from .ragged import NO_RULE, cut, joined
from .raw import as_examples
from .sound import read_recording
from .table import open_csv, read_columns
from .ts import read_file

TINT = 16  # of 255: differences of red, green and blue that a JPEG of a grey picture may have


class Inputs(NamedTuple):
    """Examples for prediction, in the units of the training data: not standardised."""

    x: np.ndarray | Ragged  # [N, ...] float32
    names: list[str]  # [N] of each: the file, and the row in it
    notes: list[str]  # what was done to make them fit, for the user to read


def with_path(path: Path, names: list[str]) -> list[str]:
    """The names of a file's examples with the path as given, since files of one name may lie in several folders."""
    return [str(path) + name.removeprefix(path.name) for name in names]


def read_inputs(path: str | Path, info: Info) -> Inputs:
    """The examples in a file, for a model trained on data described by `info`.

    A CSV has the columns named as in training, in any order (others are ignored); an NPZ has the array `x` (or one
    array alone), [N, *shape] or a single example, and lengths where x holds sequences; a .ts file and a recording are
    read as sequences; everything else is opened as a picture. UserError, naming the file,
    where it cannot be read or does not fit.
    """
    if info.tokens:
        raise UserError("The run learned a language: `purezoo generate RUN` goes on with a text of yours.")
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"{path} is no file." if path.exists() else f"There is no file {path}.")
    if path.stat().st_size == 0:
        raise UserError(f"The file {path} is empty.")
    suffix = path.suffix.lower()
    if info.sound:
        sequence, was = read_recording(path, info.sound, info.rate)
        notes = [] if was == info.rate else [f"{path.name}: resampled from {was} to {info.rate} Hz"]
        return _sequences([sequence], [path.name], info, notes, path)
    if suffix == ".npz":
        return _read_npz(path, info)
    if suffix == ".ts":
        series = read_file(path, info.fill, NO_RULE)
        return _sequences(series.x, [f"{path.name}[{i}]" for i in range(len(series.x))], info, [], path)
    if suffix == ".csv":
        return _read_csv(path, info)
    if suffix == ".npy":
        raise UserError(f"{path} is no NPZ: numpy.savez writes one, with an array x.")
    if len(info.shape) == 1:
        raise UserError(f"{path} is no table, and the model was trained on {info.shape[0]} columns: give CSV or NPZ.")
    if len(info.shape) != 3:
        raise UserError(f"{path} is no .ts or NPZ file, and the model was trained on sequences of {list(info.shape)}.")
    return _read_image(path, info)


def _sequences(parts: list[np.ndarray], names: list[str], info: Info, notes: list[str], path: Path) -> Inputs:
    """Sequences as those of the training were read: `Ragged` where they were, and cut as they were."""
    if len(info.shape) != 2:
        raise UserError(f"{path} holds sequences, and the model takes examples of {list(info.shape)}.")
    if parts[0].shape[1] != info.shape[1]:
        raise UserError(f"{path} has {parts[0].shape[1]} numbers a step, and the model takes {info.shape[1]}.")
    x = cut(joined(parts, str(path)), info.steps)
    if info.ragged and not isinstance(x, Ragged):
        x = Ragged(x, np.full(len(x), x.shape[1], np.int32))
    steps, lengths = info.shape[0], [min(len(part), info.steps or len(part)) for part in parts]
    if not info.ragged and {*lengths} != {steps}:
        odd = f"longest has {max(lengths)}" if max(lengths) > steps else f"shortest has {min(lengths)}"
        raise UserError(
            f"{path}: the {odd} steps, and the model was trained on sequences of {steps} steps alone. Bring them to as "
            "many, or train with sequences of different lengths."
        )
    return Inputs(x, names, notes)


def _read_csv(path: Path, info: Info) -> Inputs:
    if len(info.shape) != 1:
        what, give = ("images", "pictures or NPZ") if len(info.shape) == 3 else ("sequences", "NPZ or .ts")
        raise UserError(f"{path} is a table; the model was trained on {what} of {list(info.shape)}: give {give}.")
    with open_csv(path) as (header, rows):
        if missing := [name for name in info.features if name not in header]:
            raise UserError(
                f"The file {path} has no column '{missing[0]}'.{nearest(missing[0], header)} "
                f"Needed are {', '.join(info.features)}."
            )
        x, _ = read_columns(path, header, rows, list(info.features))
    return Inputs(x, [f"{path.name}[{i}]" for i in range(len(x))], [])


def _read_npz(path: Path, info: Info) -> Inputs:
    shapes = headers(path)
    key = "x" if "x" in shapes else next(iter(shapes), "")
    if key != "x" and len(shapes) != 1 + (lengths_of(key) in shapes):
        raise UserError(f"The file {path} holds the arrays {', '.join(shapes) or '(none)'}; needed is one named x.")
    if len(info.shape) == 2 and (lengths := lengths_of(key)) in shapes:
        arrays = read_arrays(path, [key, lengths])
        parts = sequences(arrays[key], arrays[lengths], f"'{key}' of {path}")
        return _sequences(parts, [f"{path.name}[{i}]" for i in range(len(parts))], info, [], path)
    x = read_arrays(path, [key])[key]
    if len(info.shape) == 2 and x.ndim in (2, 3) and x.size and x.dtype.kind in "biuf":
        x = x.astype(np.float32).reshape(-1, *x.shape[-2:])  # a single sequence is a batch of one
        return _sequences(list(x), [f"{path.name}[{i}]" for i in range(len(x))], info, [], path)
    if x.shape in (info.shape, info.shape[:2] if info.shape[2:] == (1,) else None):
        x = x[None]  # a single example
    shape = list(x.shape[1:])
    x = as_examples(x, f"'{key}' of {path}")
    if x.shape[1:] != info.shape:
        raise UserError(f"'{key}' of {path} has examples of {shape}; the model takes {list(info.shape)}.")
    return Inputs(x.astype(np.float32, copy=False), [f"{path.name}[{i}]" for i in range(len(x))], [])


def _read_image(path: Path, info: Info) -> Inputs:
    from PIL.Image import Resampling

    height, width, channels = info.shape
    if channels not in MODES:
        raise UserError(f"The model takes images of {channels} channels, which no picture has: give {path} as NPZ.")
    picture, notes = read_picture(path, path, 3 if channels == 1 else channels, info.size), []
    if channels == 1:
        notes = [f"{path.name}: its colours made grey"] if np.ptp(np.asarray(picture), -1).max() > TINT else []
        picture = picture.convert("L")
    was = f"{picture.width} x {picture.height}"
    if info.kind == "reconstruction" and not info.size and picture.size != (width, height):  # blurred, all are strange
        raise UserError(f"{path} has {was} pixels, and the run was trained on {width} x {height}.")
    if info.size:  # as in training
        picture = square(picture, info.size, path)
    elif picture.size != (width, height):
        notes.append(f"{path.name}: resized from {was} to {width} x {height} pixels")
        picture = picture.resize((width, height), Resampling.BILINEAR)
    x = pixels(picture).astype(np.float32)[None] * np.float32(info.pixel_max / 255)
    return Inputs(x, [path.name], notes)
