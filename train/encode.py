"""The codes of a run's encoder, written as features for whatever comes next, or drawn as a map."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ..errors import UserError
from ..models.core import main_output
from .config import Experiment
from .data import Dataset, Info, read_inputs
from .data.cache import write_npz
from .data.examples import Examples, take
from .data.inputs import with_path
from .evaluation import compute_rows
from .folder import load_arrays, new_file
from .serve import open_run, seed_folders
from .steps import preparation


class Encoder(NamedTuple):
    """A finished run that has an encoder."""

    home: Path  # the run's folder, or that of its first seed
    experiment: Experiment
    info: Info
    model: Any
    weights: dict

    @property
    def encode(self) -> Callable:
        """(weights, raw x [B, ...]) -> codes [B, latent]; of a posterior the means."""
        prepare, _ = preparation(self.info)
        return lambda weights, x: main_output(self.model.encode(weights["params"], weights["state"], prepare(x)))

    def codes(self, x: Examples) -> np.ndarray:
        """[N, latent] float32, of raw examples."""
        return compute_rows(self.encode, self.weights, x, 256).astype(np.float32)

    def dataset(self, data_dir: str = "") -> Dataset:
        """The run's data in its splits, from another folder where they have moved. UserError for data that are not
        held in memory."""
        return load_arrays(self.experiment, self.home, data_dir)


def open_encoder(folder: Path, trust: bool) -> Encoder:
    """Of several seeds the first one's: each has a code of its own. UserError for a run without an encoder."""
    home = seed_folders(folder)[0]
    experiment, info, _, weights = open_run(home, trust)
    model = experiment.model.build()
    if not hasattr(model, "encode"):
        raise UserError(f"{folder} has no encoder: {type(experiment.model).__name__} makes no code, as autoencoders do")
    return Encoder(home, experiment, info, model, weights)


def encode_examples(
    folder: Path, files: list[Path], out: Path | None, picture: Path | None, by: Literal["tsne", "pca"],
    data_dir: str, trust: bool,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The codes of all examples in the files, or without files of the run's test split: the arrays of the NPZ.

    Writes to `out` an NPZ with `codes` [N, latent] float32 and `names` [N], which of several files have the paths as
    given, and where the test split has classes `labels` [N], the classes' names; to `picture` a map (maps.py).
    Raises UserError, before anything is read, for a run without an encoder and for a file that is there already.
    """
    for path, flag, suffix in ((out, "--out", ".npz"), (picture, "--map", ".png")):
        if path is not None:
            new_file(path, flag, suffix)
    encoder = open_encoder(folder, trust)
    if files:
        inputs = [read_inputs(path, encoder.info) for path in files]
        for note in (note for found in inputs for note in found.notes):
            print(f"purezoo: {note}", file=sys.stderr)
        codes = np.concatenate([encoder.codes(found.x) for found in inputs])
        names = inputs[0].names
        if len(files) > 1:
            names = [name for path, found in zip(files, inputs, strict=True) for name in with_path(path, found.names)]
        arrays = {"codes": codes, "names": np.array(names)}
    else:
        dataset = encoder.dataset(data_dir)
        rows = dataset.splits["test"]
        codes = encoder.codes(take(dataset.x, rows))
        arrays = {"codes": codes, "names": np.array([f"test[{i}]" for i in range(len(rows))])}
        arrays |= {"labels": classes_of(dataset, rows)} if has_classes(dataset) else {}
    if picture is not None:
        from .maps import draw_map

        draw_map(picture, codes, arrays.get("labels"), by)
    if out is not None:
        write_npz(out, arrays)
    return arrays


def has_classes(dataset: Dataset) -> bool:
    """Whether each example has a class, be it that no task ever saw it."""
    return bool(dataset.info.classes) and isinstance(dataset.y, np.ndarray) and dataset.y.ndim == 1


def classes_of(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """The names of the classes of rows, [N]."""
    return np.array(dataset.info.classes)[take(dataset.y, rows)]
