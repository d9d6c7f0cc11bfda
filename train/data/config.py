"""The configuration of a run's data, checked before any work starts."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import UserError, nearest

BUNDLED = ("digits", "iris", "wine", "breast_cancer", "diabetes")  # scikit-learn's, part of its package
NAMED = (*BUNDLED, "mnist", "idx")
FILES = (".csv", ".npz")


@dataclass(frozen=True)
class Data:
    """Where the examples come from and how they are split into training, validation and test examples.

    A split that the source brings along is kept; what is missing is drawn once, by `split_seed`, and recorded in
    the run's folder. With classes each split has the proportions of the whole.
    """

    source: str = "digits"
    """digits, iris, wine, breast_cancer, diabetes (they come with scikit-learn, no download); mnist (IDX files or a
    prepared TFDS folder in --data.dir); idx (any data set in MNIST's IDX files in --data.dir);
    tfds:NAME[/CONFIG][:VERSION] (prepared by tensorflow-datasets); or a path to a .csv or .npz file"""
    dir: str = ""
    """folder with the source's files, IDX or TFDS; empty: the default of TFDS, ~/tensorflow_datasets"""
    target: str = ""
    """CSV only: the name of the column to predict; every other column is a feature"""
    test: float = 0.2
    """fraction of all examples held out for the test, where the source has no test split"""
    validation: float = 0.1
    """fraction of the remaining training examples held out for validation, where the source has none; 0: none"""
    split_seed: int = 0
    """seed of those splits, apart from --train.seed so that runs with different seeds share one split"""
    standardize: bool = True
    """on by default: subtract the mean and divide by the standard deviation, of each feature, or of each channel of
    images (and of regression targets), measured on the training examples alone"""

    def __post_init__(self):
        if not 0 < self.test < 1:
            raise UserError(f"--data.test is {self.test}: it must lie between 0 and 1, both excluded.")
        if not 0 <= self.validation < 1:
            raise UserError(f"--data.validation is {self.validation}: it must be at least 0 and below 1.")
        if self.split_seed < 0:
            raise UserError(f"--data.split-seed is {self.split_seed}: it must not be negative.")
        if self.source == "idx" and not self.dir:
            raise UserError("The source 'idx' needs --data.dir, the folder of the IDX files.")
        if self.target and self.file != ".csv":
            raise UserError(f"--data.target names a column of a CSV file, and the source is '{self.source}'.")
        if not (self.source in NAMED or self.source.removeprefix("tfds:") != self.source or self.file):
            raise UserError(
                f"Unknown data source '{self.source}'.{nearest(self.source, NAMED)} There are {', '.join(NAMED)}, "
                "tfds:NAME, and paths to .csv and .npz files."
            )

    @property
    def file(self) -> str:
        """The suffix, .csv or .npz, where the source is a path to such a file, else nothing."""
        suffix = Path(self.source).suffix.lower()
        return suffix if suffix in FILES and not self.source.startswith("tfds:") else ""

    def moved_to(self, folder: str) -> "Data":
        """The same data in another folder."""
        return replace(self, source=str(Path(folder) / self.path.name)) if self.file else replace(self, dir=folder)

    def absolute(self) -> "Data":
        """The same data by paths that hold in any working directory, as a run records them."""
        source = str(self.path.resolve()) if self.file else self.source
        return replace(self, source=source, dir=str(Path(os.path.expanduser(self.dir)).resolve()) if self.dir else "")

    @property
    def path(self) -> Path:
        """The source as a path, for a CSV or NPZ file."""
        return Path(os.path.expanduser(self.source))
