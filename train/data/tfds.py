"""Data sets that tensorflow-datasets has prepared as ArrayRecord files: read by name, without TensorFlow, and cached.

A prepared set is a folder NAME[/CONFIG]/VERSION with two JSON files that say what it holds. They are read here, so that
a data set in the cache is loaded without importing tensorflow-datasets.
"""

import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import UserError, nearest
from .cache import cached
from .info import Kind
from .raw import Raw, as_examples, check_finite, check_memory, white
from .split import NAMES

log = logging.getLogger(__name__)
TITLE = re.compile(r"[\w.-]+(/[\w.-]+)?")
VERSION = re.compile(r"\d+\.\d+\.\d+")


class Prepared(NamedTuple):
    """What the JSON files of a prepared data set say."""

    folder: Path
    sizes: dict[str, int]  # examples in each of train, validation, test that there is
    splits: dict[str, str]  # what the set itself calls each of them
    features: dict[str, Any]  # of one example, by name, as in features.json
    keys: tuple[str, str]  # the features that are input and target


def read_tfds(name: str, folder: str, test_split: str = "") -> Raw:
    """The data set `name` (NAME[/CONFIG][:VERSION]) that is prepared in `folder`; empty: TFDS's default folder.

    Input: an Image, a Tensor of numbers, or a FeaturesDict of numbers (a table). Target: a ClassLabel or a number.
    """
    prepared = describe(find(name, folder), test_split)
    key = [name, prepared.folder.name, stamps(prepared.folder), prepared.splits]
    return cached(name.split(":")[0].replace("/", "-"), key, lambda: decode(prepared, name))


def stamps(folder: Path) -> list[tuple[str, int, int]]:
    """Name, length and time of each file of a prepared data set."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def peek_tfds(name: str, folder: str, kind: Kind) -> tuple[tuple[int, ...], int] | None:
    """The shape of one example and the number of classes (1 for a number to predict); None where it is not declared."""
    prepared = describe(find(name, folder))
    x, y = (prepared.features[key] for key in prepared.keys)
    shape = declared_shape(x)
    outputs = 1 if kind == "regression" else int(y.get("classLabel", {}).get("numClasses", 0))
    return (shape, outputs) if shape and outputs else None


def find(name: str, folder: str) -> Path:
    """The folder of a prepared data set. UserError, with what to do, where there is none."""
    title, _, version = name.partition(":")
    root = Path(folder or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    base = root / title
    if not TITLE.fullmatch(title) or not base.is_dir():
        raise UserError(_not_prepared(title, root))
    configs = _configs(base)
    if not _versions(base) and len(configs) > 1:
        raise UserError(
            f"{root} holds several configurations of {title}: {', '.join(configs)}. "
            f"Name one, as in tfds:{title}/{configs[0]}."
        )
    if not _versions(base) and configs:
        base = base / configs[0]
    if not (versions := _versions(base)):
        raise UserError(_not_prepared(title, root))
    if version and version not in versions:
        raise UserError(f"{base} holds the versions {', '.join(versions)}, not {version}.")
    return base / (version or versions[-1])


def describe(folder: Path, test_split: str = "") -> Prepared:
    """What the JSON files of a prepared data set say. UserError where they are damaged or say what is not read here.

    `test_split` is the split that serves as the test instead of the one named so.
    """
    try:
        info = json.loads((folder / "dataset_info.json").read_text())
        features = _columns(json.loads((folder / "features.json").read_text()))
        sizes = {split["name"]: sum(map(int, split["shardLengths"])) for split in info["splits"]}
        items = info.get("supervisedKeys", {}).get("tuple", {}).get("items", [])
        keys = tuple(item.get("featureKey", "") for item in items)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"The prepared data set {folder} is damaged: {type(error).__name__}: {error}.") from error
    if info.get("fileFormat") != "array_record":
        raise UserError(
            f"{folder} holds {info.get('fileFormat', 'other')} files, and array_record is needed. Prepare it again "
            "with --file_format array_record, into another --data_dir."
        )
    if "train" not in sizes:
        raise UserError(f"{folder} has no split named train: it has {', '.join(sizes)}.")
    if len(keys) != 2 or not set(keys) <= set(features):
        raise UserError(
            f"{folder} does not say which of its features is input and which target: {', '.join(features)}."
        )
    splits = {name: name for name in NAMES if sizes.get(name)}
    if test_split:
        if test_split == "train" or not sizes.get(test_split):
            raise UserError(f"--data.test-split {test_split}: {folder} has the splits {', '.join(sizes)}.")
        splits = {name: name for name in splits if name not in ("test", test_split)} | {"test": test_split}
    return Prepared(folder, {name: sizes[own] for name, own in splits.items()}, splits, features, keys)


def decode(prepared: Prepared, name: str) -> Raw:
    """Read and decode every example, through tensorflow-datasets."""
    x_key, y_key = prepared.keys
    total = sum(prepared.sizes.values())
    log.warning(
        "Decoding the %s examples of %s, for the first time only.", f"{total:,}", name
    )  # seen: it takes a while
    columns = list(_columns(prepared.features[x_key]))  # of a table; [] for an image or a tensor
    x, y = np.empty(0), []
    for row, example in enumerate(_examples(prepared)):
        value = _row(example[x_key], columns, name)
        if row == 0:
            check_memory(total * value.nbytes, f"{name} ({total:,} examples of {list(value.shape)})")
            x = np.empty((total, *value.shape), value.dtype)
        if value.shape != x.shape[1:]:
            raise UserError(
                f"{name} has examples of different sizes ({list(x.shape[1:])}, and {list(value.shape)} in row {row}): "
                "kept in memory, all must have one size. Of pictures --data.size makes it so."
            )
        x[row] = value
        y.append(example[y_key])
    return _raw(prepared, name, x, np.asarray(y))


def _examples(prepared: Prepared) -> Iterator[dict[str, Any]]:
    """The decoded examples of all splits in turn. UserError where a file is damaged."""
    import tensorflow_datasets as tfds

    absl = logging.getLogger("absl")
    level = absl.level
    try:
        absl.setLevel(logging.ERROR)  # TFDS recommends optional packages
        builder = tfds.builder_from_directory(prepared.folder)
        for split, size in prepared.sizes.items():
            source = builder.as_data_source(split=prepared.splits[split])
            for start in range(0, size, 256):
                yield from source.__getitems__(list(range(start, min(start + 256, size))))
    except Exception as error:  # ArrayRecord, protobuf, Pillow and TFDS have no error in common
        raise UserError(f"The prepared data set {prepared.folder} cannot be read: {error}") from error
    finally:
        absl.setLevel(level)


def _raw(prepared: Prepared, name: str, x: np.ndarray, y: np.ndarray) -> Raw:
    x_key, y_key = prepared.keys
    feature, target = prepared.features[x_key], prepared.features[y_key]
    if y.dtype.kind not in "buif" or y.ndim != 1:
        raise UserError(f"The target '{y_key}' of {name} is neither a class label nor one number for each example.")
    x = as_examples(x, f"'{x_key}' of {name}")
    if x.ndim == 4:
        pixel_max = {"uint8": 255.0, "uint16": 65535.0}.get(feature.get("image", {}).get("dtype", "")) or white(x)
        features: tuple[str, ...] = ()
    else:
        pixel_max = 0.0
        features = tuple(_columns(feature)) or tuple(f"{x_key}{i}" for i in range(x.shape[1]))
    if "classLabel" not in target:
        check_finite(y, f"'{y_key}' of {name}")
        return Raw(x, y, prepared.sizes, features=features, targets=(y_key,), pixel_max=pixel_max)
    classes = class_names(prepared.folder / f"{y_key}.labels.txt", int(target["classLabel"]["numClasses"]))
    return Raw(x, y, prepared.sizes, classes, features, pixel_max=pixel_max)


def class_names(path: Path, count: int) -> tuple[str, ...]:
    """The lines of a file of names; numbers where there is no such file."""
    if not path.is_file():
        return tuple(str(i) for i in range(count))
    names = tuple(path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n"))
    if len(names) != count:
        raise UserError(f"The file {path} has {len(names)} names for {count} classes.")
    return names


def _row(value: Any, columns: list[str], name: str) -> np.ndarray:
    """The input of one example as an array; a FeaturesDict of numbers becomes one row of a table."""
    if isinstance(value, dict):
        value = [value[column] for column in columns]
    try:
        row = np.asarray(value)
    except ValueError:  # entries of different lengths
        row = np.asarray("")
    if row.dtype.kind not in "buif" or row.ndim == 0:
        raise UserError(f"The input of {name} is neither an image, nor an array of numbers, nor a dict of numbers.")
    return row.astype(np.float32) if columns else row


def _columns(feature: dict[str, Any]) -> dict[str, Any]:
    """The features of a FeaturesDict by name; {} for any other feature."""
    return feature.get("featuresDict", {}).get("features", {})


def declared_shape(feature: dict[str, Any]) -> tuple[int, ...] | None:
    """The shape of one example as `as_examples` makes it; None where it is open or of a kind not read here."""
    if columns := _columns(feature):
        return (len(columns),)
    spec = feature.get("image") or feature.get("tensor") or {}
    shape = tuple(int(size) for size in spec.get("shape", {}).get("dimensions", []))
    if len(shape) not in (1, 2, 3) or min(shape) < 1:
        return None
    return (*shape, 1) if len(shape) == 2 else shape


def _versions(folder: Path) -> list[str]:
    """Names of the version folders in `folder`, oldest first."""
    found = [path.name for path in folder.glob("*") if path.is_dir() and VERSION.fullmatch(path.name)]
    return sorted(found, key=lambda name: tuple(map(int, name.split("."))))


def _configs(folder: Path) -> list[str]:
    """Names of the folders in `folder` that hold versions."""
    return [path.name for path in sorted(folder.glob("*")) if _versions(path)]


def _not_prepared(title: str, root: Path) -> str:
    names = [path.name for path in sorted(root.glob("*")) if _versions(path) or _configs(path)]
    there = f"it holds {', '.join(names)}.{nearest(title, names)}" if names else "no data set is there."
    idx = "\nMNIST's four IDX files in --data.dir work as well, with --data.source mnist." if title == "mnist" else ""
    return (
        f"The data set '{title}' is not prepared in {root}: {there} Nothing is downloaded by itself; to prepare it:\n"
        f"  pip install tensorflow && tfds build {title} --data_dir {root} --file_format array_record{idx}"
    )
