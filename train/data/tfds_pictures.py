"""Pictures of a prepared TFDS data set by number, still encoded: a stream decodes them, and its workers get a copy."""

import hashlib
import json
import logging
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from ...errors import UserError
from .config import Data
from .tfds import Prepared, class_names, declared_shape, describe, find, stamps


@dataclass
class TfdsPictures:
    """The pictures of all splits of a prepared data set, one split after another in the order of `sizes`."""

    prepared: Prepared
    classes: tuple[str, ...]
    channels: int
    shape: tuple[int, int, int] | None  # [H, W, C], where the data set declares one
    labels: np.ndarray | None = None  # known only when they are read
    sources: dict[str, Any] | None = None  # of each split, opened where they are first read

    @property
    def sizes(self) -> dict[str, int]:
        return self.prepared.sizes

    def fingerprint(self) -> str:
        """SHA-256 of the names and lengths of the files and of the splits."""
        files = [(name, length) for name, length, _ in stamps(self.prepared.folder)]
        return hashlib.sha256(json.dumps([files, self.prepared.splits, self.sizes]).encode()).hexdigest()

    def stamp(self) -> str:
        """SHA-256 of that, of where the data set lies, and of when each file was changed."""
        folder = self.prepared.folder
        stamp = [self.fingerprint(), str(folder.resolve()), [time for _, _, time in stamps(folder)]]
        return hashlib.sha256(json.dumps(stamp).encode()).hexdigest()

    def open(self, row: int) -> tuple[BytesIO, str, int]:
        """The encoded picture, its name for messages, and its label. UserError where the record is damaged."""
        x_key, y_key = self.prepared.keys
        ends = np.cumsum(list(self.sizes.values()))
        i = int(np.searchsorted(ends, row, side="right"))
        split, place = list(self.sizes)[i], row - int(ends[i] - list(self.sizes.values())[i])
        name = f"record {place} of {self.prepared.splits[split]} in {self.prepared.folder}"
        if self.sources is None:
            self.sources = self._open_sources()
        try:
            example = self.sources[split][place]
            return BytesIO(example[x_key]), name, int(example[y_key])
        except Exception as error:  # ArrayRecord, protobuf and TFDS have no error in common
            raise UserError(f"{name} cannot be read: {error or type(error).__name__}.") from error

    def _open_sources(self) -> dict[str, Any]:
        import tensorflow_datasets as tfds

        logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS recommends optional packages
        builder = tfds.builder_from_directory(self.prepared.folder)
        encoded = {self.prepared.keys[0]: tfds.decode.SkipDecoding()}
        return {name: builder.as_data_source(split=own, decoders=encoded) for name, own in self.prepared.splits.items()}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"sources": None}


def find_tfds_pictures(data: Data) -> TfdsPictures | None:
    """The pictures of a prepared data set; None where its input is no picture of bytes or its target no class label."""
    prepared = describe(find(data.source.removeprefix("tfds:"), data.dir), data.test_split)
    x, y = (prepared.features[key] for key in prepared.keys)
    spec, classes = x.get("image"), int(y.get("classLabel", {}).get("numClasses", 0))
    if spec is None or spec.get("dtype", "uint8") != "uint8" or not classes:
        return None
    channels = data.channels or int((spec.get("shape", {}).get("dimensions") or [3])[-1])
    if channels not in (1, 3, 4):
        return None
    shape = declared_shape(x)
    names = class_names(prepared.folder / f"{prepared.keys[1]}.labels.txt", classes)
    return TfdsPictures(prepared, names, channels, (shape[0], shape[1], channels) if shape else None)
