"""From a configuration to arrays: read the source, encode the targets, split, measure the training examples."""

import hashlib
from typing import NamedTuple

import numpy as np

from ...errors import UserError
from .bundled import SHAPES, read_bundled
from .cache import cached
from .config import Data
from .examples import Examples, Ragged, shape_of, take
from .folders import find_pictures, peek_folder
from .idx import find_idx, peek_idx, read_idx
from .info import Info, Kind
from .moments import colour_covariance, moments
from .npz import peek_npz, read_npz
from .pairs import peek_pairs, read_pairs
from .ragged import cut, real_rows
from .raw import Raw
from .series import SUNSPOTS_TIME, Series, read_series, sunspots
from .series import windows as cut_series
from .sound import holds_recordings, peek_recordings, read_recordings
from .split import Splits, check_splits, make_splits
from .stream import Stream, is_large, open_stream, read_all, sample
from .subset import check_classes, few, of_classes
from .table import peek_csv, read_csv
from .targets import targets
from .text import peek_text, read_text
from .tfds import peek_tfds, read_tfds
from .tfds_pictures import find_tfds_pictures
from .ts import peek_ts, read_ts


class Dataset(NamedTuple):
    """All examples of a source in the computer's memory, or a stream of them, with the rows of each split."""

    # Not standardised: [N, D] float32; [N, H, W, C], uint8 for images stored so, else float32; [N, T] tokens.
    x: Examples
    # [N] int32 class indices, [N, K] float32 targets in their own units, [N, H, W] uint8, or [N, T] tokens
    y: Examples
    splits: Splits  # "train", "validation" (may be absent), "test": sorted int32 rows, pairwise disjoint
    info: Info
    skipped: set[int]  # numbers of the pictures that could not be read and were left out so far
    stream: Stream | None = None  # x and y are empty where the examples are read from it

    def seen(self, split: str) -> int:
        """The number of examples in a split, without those that could not be read so far."""
        rows = self.splits[split].tolist()
        return len(rows) if self.stream is None else len(set(rows) - self.skipped)


def load(data: Data, kind: Kind, splits: Splits | None = None) -> Dataset:
    """The data set that `data` describes, for a task of the given kind.

    `splits` are those of an earlier run, used instead of drawing them again. UserError where anything does not fit:
    a missing file, a bad value, targets that are not what the task needs, an empty split.
    """
    if data.file == ".txt" or kind == "language":
        return _load_text(data, kind, splits)
    if data.is_series or kind == "forecast":
        return _load_series(data, kind, splits)
    unlabelled = kind == "reconstruction"  # labels stay beside the examples, and splits keep their proportions
    stream = _stream(data, "classification" if unlabelled else kind)
    if stream and data.classes:
        check_classes(data, stream.pictures.classes)  # before all pictures are decoded
    part = bool(data.classes or data.examples)
    if stream and (data.stream == "yes" or (data.stream == "auto" and is_large(stream) and not part)):
        return _load_stream(data, kind, stream, splits)
    raw = _read(data, kind, stream)
    if data.steps:
        raw = raw._replace(x=_cut(data, raw.x))
    if data.shuffle_pixels and (isinstance(raw.x, Ragged) or raw.x.ndim != 4 or kind == "segmentation"):
        raise UserError(f"--data.shuffle-pixels is for images with one label each, and {data.source} has none.")
    if unlabelled and isinstance(raw.x, Ragged):
        raise UserError(f"{data.source} has sequences of different lengths, which no autoencoder here restores.")
    y, classes = targets(raw, kind, data.source)
    if data.classes:
        (raw, y), classes = of_classes(data, raw, y, classes), data.classes
    labels = y if classes and kind != "segmentation" else None
    if splits is None or data.examples:
        made = make_splits(raw.sizes, labels, data.test, data.validation, data.split_seed)
        if data.examples:
            stay, made = few(data, made, labels, len(y))
            raw, y = raw._replace(x=take(raw.x, stay)), y[stay]
    splits = made if splits is None else check_splits(splits, len(y))
    train = splits["train"] if data.standardize else None
    x_mean, x_std = _moments(raw.x, train)
    y_mean, y_std = moments(y, train) if kind == "regression" else ((), ())
    info = Info(
        source=data.source,
        kind=kind,
        shape=shape_of(raw.x),
        classes=classes,
        features=raw.features,
        targets=raw.targets if kind == "regression" else (),
        x_mean=x_mean,
        x_std=x_std,
        y_mean=y_mean,
        y_std=y_std,
        pixel_max=raw.pixel_max,
        fingerprint=_fingerprint(raw.x, y),
        counts={name: len(rows) for name, rows in splits.items()},
        x_covariance=colour_covariance(raw.x, splits["train"]),
        size=data.size,
        pixel_order=data.split_seed if data.shuffle_pixels else None,
        ragged=isinstance(raw.x, Ragged),
        sound=data.features if raw.rate else "",
        rate=raw.rate,
        steps=data.steps,
        fill=data.fill,
    )
    return Dataset(raw.x, y, splits, info, set(raw.skipped))


def _stream(data: Data, kind: Kind) -> Stream | None:
    """How to read the source's pictures, where it is one of pictures with classes. Nothing is read yet."""
    recordings = data.folder is not None and data.folder.is_dir() and holds_recordings(data.folder)
    if not recordings:
        _refuse_flags(data, ("features", "rate"), "recordings", "pictures")
    if kind == "segmentation" and data.folder is not None:
        _refuse_flags(data, ("stream", "workers", "on_error", "test_split"), "pictures with classes", "masks")
        return None
    if recordings:
        others = ("stream", "workers", "on_error", "test_split", "size", "channels")
        _refuse_flags(data, others, "pictures with classes", "recordings")
        if kind != "classification":
            raise UserError(f"The recordings of {data.source} have classes: use a classification task.")
        return None
    if not data.has_pictures or kind != "classification":
        if data.folder is not None or data.stream == "yes" or data.size:
            raise UserError(f"The pictures of {data.source} have classes: use a classification task.")
        return None
    pictures = find_pictures(data) if data.folder is not None else find_tfds_pictures(data)
    if pictures is None:
        if data.stream == "yes" or data.size or data.channels:
            raise UserError(f"{data.source} holds no pictures of bytes with class labels: they alone can be streamed.")
        return None
    read_whole = data.stream != "yes" and data.on_error == "stop"
    if data.folder is None and not data.size and pictures.shape is None and read_whole:
        return None  # whether they are all of one size is seen when they are read into memory
    return open_stream(data, pictures)


def _refuse_flags(data: Data, names: tuple[str, ...], whose: str, what: str) -> None:
    """UserError for the first of these settings that was given, where the source is a folder with something else."""
    given = [name for name in names if getattr(data, name) != getattr(Data, name) and getattr(data, name) != "no"]
    if given:
        flag = f"--data.{given[0].replace('_', '-')} {getattr(data, given[0])}"
        raise UserError(f"{flag} is for {whose}, and {data.source} is a folder with {what}.")


def _load_stream(data: Data, kind: Kind, stream: Stream, splits: Splits | None) -> Dataset:
    """A stream's splits and record. Mean, deviation and covariance are those of a sample of 2,000 training pictures,
    drawn by the seed of the splits; with recorded `splits` they mean nothing, for the run's record has them."""
    pictures, total = stream.pictures, sum(stream.pictures.sizes.values())
    if splits is None:
        splits = make_splits(pictures.sizes, pictures.labels, data.test, data.validation, data.split_seed)
        x = sample(stream, splits["train"], data.split_seed)
    else:
        splits = check_splits(splits, total)
        x = np.zeros((1, *stream.shape), np.uint8)
    x_mean, x_std = moments(x, np.arange(len(x)) if data.standardize else None)
    info = Info(
        source=data.source,
        kind=kind,
        shape=stream.shape,
        classes=pictures.classes,
        features=(),
        targets=(),
        x_mean=x_mean,
        x_std=x_std,
        y_mean=(),
        y_std=(),
        pixel_max=255.0,
        fingerprint=pictures.fingerprint(),
        counts={name: len(rows) for name, rows in splits.items()},
        x_covariance=colour_covariance(x, np.arange(len(x))),
        size=stream.size,
        pixel_order=data.split_seed if data.shuffle_pixels else None,
    )
    return Dataset(np.empty((0, *stream.shape), np.uint8), np.empty(0, np.int32), splits, info, set(), stream)


def _load_text(data: Data, kind: Kind, splits: Splits | None) -> Dataset:
    """A text and its record."""
    if data.file != ".txt" or kind != "language":
        what = "a text: use a language task" if data.file == ".txt" else "no text: a language task needs one"
        raise UserError(f"{data.source} is {what}.")
    text = read_text(data.path, data.tokens, data.window, data.test, data.validation)
    splits = text.splits if splits is None else check_splits(splits, len(text.x))
    info = Info(
        source=data.source,
        kind=kind,
        shape=(data.window,),
        classes=text.names,
        features=(),
        targets=(),
        x_mean=(),
        x_std=(),
        y_mean=(),
        y_std=(),
        pixel_max=0.0,
        fingerprint=_fingerprint(text.x.values, text.y.values),
        counts={name: len(rows) for name, rows in splits.items()},
        tokens=data.tokens,
    )
    return Dataset(text.x, text.y, splits, info, set())


def _load_series(data: Data, kind: Kind, splits: Splits | None) -> Dataset:
    """A series and its record."""
    if not data.is_series or kind != "forecast":
        mend = (
            "a series: use a forecasting task"
            if data.is_series
            else "no series: name the column of its time, --data.time"
        )
        raise UserError(f"{data.source} is {mend}.")
    series = _series(data)
    made = cut_series(series, data.window, data.horizon, data.test, data.validation, data.source)
    if splits is not None and not all(np.array_equal(splits.get(n, ()), rows) for n, rows in made.splits.items()):
        raise UserError(f"The recorded splits do not fit {data.source}: it changed.")
    x_mean, x_std = moments(series.values, np.arange(made.trained) if data.standardize else None)
    info = Info(
        source=data.source,
        kind=kind,
        shape=(data.window, len(series.names)),
        classes=(),
        features=series.names,
        targets=series.names,
        x_mean=x_mean,
        x_std=x_std,
        y_mean=(),
        y_std=(),
        pixel_max=0.0,
        fingerprint=_fingerprint(series.values, made.y.values),
        counts={name: len(rows) for name, rows in made.splits.items()},
        fill=data.fill,
        horizon=data.horizon,
        time=data.time or SUNSPOTS_TIME,
    )
    return Dataset(made.x, made.y, made.splits, info, set())


def _series(data: Data) -> Series:
    return sunspots() if data.source == "sunspots" else read_series(data.path, data.time, data.fill)


def peek(data: Data, kind: Kind = "classification") -> tuple[tuple[int, ...], int] | None:
    """The shape of one example and the number of classes or targets, without reading the examples; None if unknown."""
    known = _peek(data, kind)
    return (known[0], len(data.classes)) if known and data.classes else known


def _peek(data: Data, kind: Kind) -> tuple[tuple[int, ...], int] | None:
    if data.source in SHAPES:
        return SHAPES[data.source]
    if data.file == ".ts":
        return peek_ts(data.path, data.fill)
    if data.folder is not None and data.folder.is_dir() and holds_recordings(data.folder):
        return peek_recordings(data)
    if data.file == ".txt":
        return peek_text(data.path, data.tokens, data.window)
    if data.is_series:
        count = len(_series(data).names)
        return (data.window, count), count
    if data.source == "mnist":
        return (28, 28, 1), 10
    if data.source == "idx":
        return peek_idx(data.dir)
    if data.folder is not None:
        return peek_pairs(data.folder, data.size, data.channels) if kind == "segmentation" else peek_folder(data)
    if data.source.startswith("tfds:"):
        known = find_tfds_pictures(data) if data.size else None
        if known is not None:
            return (data.size, data.size, known.channels), len(known.classes)
        return peek_tfds(data.source.removeprefix("tfds:"), data.dir, kind)
    return peek_csv(data.path, data.target, kind) if data.file == ".csv" else peek_npz(data.path, kind)


def _read(data: Data, kind: Kind, stream: Stream | None) -> Raw:
    if stream is not None and (data.folder is not None or data.size or data.channels or data.on_error == "skip"):
        name = data.folder.name if data.folder is not None else data.source.partition(":")[2]
        key = [stream.shape, stream.size, stream.on_error, stream.pictures.stamp()]
        return cached(name.split(":")[0].replace("/", "-"), key, lambda: read_all(stream, data.source))
    if data.source in SHAPES:
        return read_bundled(data.source)
    if data.file == ".ts":
        return read_ts(data.path, data.fill)
    if data.folder is not None and kind in ("classification", "reconstruction"):
        return read_recordings(data)
    if kind == "segmentation" and data.folder is not None:
        return read_pairs(data.folder, data.size, data.channels)
    if data.source == "idx" or (data.source == "mnist" and find_idx(data.dir)):
        return read_idx(data.dir)
    if data.source == "mnist" or data.source.startswith("tfds:"):
        return read_tfds(data.source.removeprefix("tfds:"), data.dir, data.test_split)
    return read_csv(data.path, data.target, kind) if data.file == ".csv" else read_npz(data.path, kind)


def _cut(data: Data, x: np.ndarray | Ragged) -> np.ndarray | Ragged:
    if not isinstance(x, Ragged) and x.ndim != 3:
        raise UserError(f"--data.steps is for sequences, and {data.source} holds none.")
    return cut(x, data.steps)


def _moments(x: np.ndarray | Ragged, rows: np.ndarray | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of sequences of different lengths over their real steps."""
    if not isinstance(x, Ragged):
        return moments(x, rows)
    steps = real_rows(x, np.arange(1) if rows is None else rows)
    return moments(steps, None if rows is None else np.arange(len(steps)))


def _fingerprint(x: np.ndarray | Ragged, y: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in (*(x if isinstance(x, Ragged) else (x,)), y):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
