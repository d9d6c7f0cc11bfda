"""The configuration of a run's data, checked before any work starts."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...errors import UserError, nearest

BUNDLED = ("digits", "digit_scenes", "iris", "wine", "breast_cancer", "diabetes", "ball", "sunspots")
NAMED = (*BUNDLED, "mnist", "idx")
FILES = (".csv", ".npz", ".txt", ".ts")
TEXT = "text:"  # before the path of a file that is read as a text, whatever its suffix
LARGEST = 8192  # pixels of a side that pictures are resized to
MOST_WORKERS = 1024  # processes that decode pictures


@dataclass(frozen=True)
class Data:
    """Where the examples come from and how they are split into training, validation and test examples.

    A split that the source brings along is kept; what is missing is drawn once, by `split_seed`, and recorded in
    the run's folder. With classes each split has the proportions of the whole; of a stream of TFDS only about, as its
    labels are not known before it is read.
    """

    source: str = "digits"
    """digits, iris, wine, breast_cancer, diabetes (they come with scikit-learn, no download); digit_scenes (its digits
    strewn over a canvas, a class for each pixel); ball (a simulated flight); sunspots (a series; extra `series`);
    mnist (IDX files or a prepared TFDS folder in --data.dir); idx (any data set in MNIST's IDX files in --data.dir);
    tfds:NAME[/CONFIG][:VERSION] (prepared by tensorflow-datasets);
    folder:PATH, pictures as class/name.jpg or train/class/name.jpg, validation/..., test/... (for segmentation
    images/name.jpg and masks/name.png, or train/images/name.jpg, ...); recordings as class/name.wav;
    text:PATH, any file as a text; or a path to such a folder, or to a .csv, .npz, .txt or .ts file"""
    dir: str = ""
    """folder with the source's files, IDX or TFDS; empty: the default of TFDS, ~/tensorflow_datasets"""
    target: str = ""
    """CSV only: the name of the column to predict; every other column is a feature"""
    tokens: Literal["characters", "bytes"] = "characters"
    """text only: what it is made of. A character that the training part does not have becomes the unknown one, U+FFFD;
    bytes are 256, and any file can be read so"""
    window: int = 128
    """tokens of a text in an example, or steps of a series that a forecast is made from. Windows of a text do not
    overlap; of both the last part is the test"""
    horizon: int = 1
    """series only: steps to forecast"""
    time: str = ""
    """CSV only: the name of the column that holds the time, numbers or dates, also with hours; all others are series"""
    steps: int = 0
    """sequences only: cut longer ones to so many steps; 0: take them whole"""
    fill: Literal["", "previous", "linear", "zero", "skip"] = ""
    """.ts files and series: what stands for a missing value, and in a series for a missing row: the value before it,
    zero, or in .ts files the line between its neighbours; skip: nothing, rows of a series are neighbours whatever time
    lies between them; empty: refuse it. What is filled is also forecast and counted"""
    features: Literal["log_mel", "mfcc"] = "log_mel"
    """recordings only: 40 logarithms of mel-scaled energies, or 13 cepstral coefficients, of frames of 25 ms, one every
    10 ms"""
    rate: int = 0
    """recordings only: samples a second that they are brought to; 0: the commonest rate among them"""
    classes: tuple[str, ...] = ()
    """only the examples of these classes, in this order; empty: all"""
    examples: int = 0
    """keep so many examples to train on, drawn by split_seed, of each class in proportion; validation and test stay
    as they are; 0: all"""
    test: float = 0.2
    """fraction of all examples held out for the test, where the source has no test split"""
    validation: float = 0.1
    """fraction of the remaining training examples held out for validation, where the source has none; 0: none"""
    split_seed: int = 0
    """seed of those splits, apart from --train.seed so that runs with different seeds share one split"""
    standardize: bool = True
    """on by default: subtract the mean and divide by the standard deviation, of each feature, or of each channel of
    images (and of regression targets), measured on the training examples alone"""
    shuffle_pixels: bool = False
    """bring the pixels of every image into one random order, the same for all, drawn by split_seed: neighbours part"""
    size: int = 0
    """pictures of a folder or of TFDS: resize the short side to this many pixels and crop the middle square out; 0:
    take them as they are, which must then be of one size"""
    channels: Literal[0, 1, 3] = 0
    """of those pictures: 1 grey, 3 RGB; 0: as TFDS says, and RGB for a folder"""
    test_split: str = ""
    """folders and TFDS: the split of the source that serves as the test, where its own test has no labels"""
    stream: Literal["auto", "yes", "no"] = "auto"
    """read those pictures from the disk while training, instead of keeping them all in memory; auto: where they would
    take more than 4 GB"""
    workers: int = -1
    """processes that decode a stream; 0: threads of this process; -1: one for each core but one, at most 16"""
    on_error: Literal["stop", "skip"] = "stop"
    """a picture that cannot be read: stop with its name, or skip it (its example has weight 0) and count it"""

    def __post_init__(self):
        if not (self.source in NAMED or self.file or self.has_pictures):
            raise UserError(
                f"Unknown data source '{self.source}'.{nearest(self.source, NAMED)} There are {', '.join(NAMED)}, "
                "tfds:NAME, folder:PATH, text:PATH, and paths to folders and to .csv, .npz, .txt and .ts files."
            )
        self._refuse_without_part()
        self._refuse_values()
        self._refuse_together()

    def _refuse_without_part(self) -> None:
        """UserError for the first setting that is given and has no part in this source."""
        text, series, pictures, csv = self.file == ".txt", self.is_series, self.has_pictures, self.file == ".csv"
        parts = {
            "dir": (self.source in ("mnist", "idx") or self.source.startswith("tfds:"), "mnist, idx and TFDS"),
            "target": (csv, "CSV files"),
            "tokens": (text, "texts"),
            "window": (text or series, "texts and series"),
            "time": (csv, "CSV files"),
            "horizon": (series, "series"),
            "fill": (series or self.file == ".ts", ".ts files and series"),
            "features": (self.folder is not None, "folders of recordings"),
            "rate": (self.folder is not None, "folders of recordings"),
            **dict.fromkeys(
                ("size", "channels", "test_split", "workers", "on_error"), (pictures, "folders of pictures and TFDS")
            ),
        }
        for name, (has_part, what) in parts.items():
            if getattr(self, name) != getattr(Data, name) and not has_part:
                mend = ": name the column of its time with --data.time" if csv and name == "horizon" else ""
                raise UserError(
                    f"--data.{name.replace('_', '-')} is for {what}, and the source is '{self.source}'{mend}."
                )
        if self.stream == "yes" and not pictures:
            raise UserError(f"Folders of pictures and TFDS can be streamed, and the source is '{self.source}'.")
        if self.source == "idx" and not self.dir:
            raise UserError("The source 'idx' needs --data.dir, the folder of the IDX files.")

    def _refuse_values(self) -> None:
        if not 0 < self.test < 1:
            raise UserError(f"--data.test is {self.test}: it must lie between 0 and 1, both excluded.")
        if not 0 <= self.validation < 1:
            raise UserError(f"--data.validation is {self.validation}: it must be at least 0 and below 1.")
        if len(self.classes) == 1 or len(set(self.classes)) < len(self.classes):
            raise UserError(f"--data.classes names at least 2 different classes, not {' '.join(self.classes)}.")
        if self.examples < 0:
            raise UserError(f"--data.examples is a number of training examples, or 0, not {self.examples}.")
        if self.steps < 0:
            raise UserError(f"--data.steps is a number of steps, or 0, not {self.steps}.")
        if self.rate < 0 or 0 < self.rate < 2000:
            raise UserError(f"--data.rate is a number of samples a second, at least 2000, or 0, not {self.rate}.")
        for name in ("window", "horizon"):
            if getattr(self, name) < 1:
                raise UserError(f"--data.{name} is at least 1, not {getattr(self, name)}.")
        if self.split_seed < 0:
            raise UserError(f"--data.split-seed is {self.split_seed}: it must not be negative.")
        if not 0 <= self.size <= LARGEST:
            raise UserError(f"--data.size is a number of pixels up to {LARGEST}, or 0, not {self.size}.")
        if not -1 <= self.workers <= MOST_WORKERS:
            raise UserError(f"--data.workers is a number of processes up to {MOST_WORKERS}, or -1, not {self.workers}.")

    def _refuse_together(self) -> None:
        """UserError for settings that exclude one another."""
        if self.fill == "linear" and self.is_series:
            raise UserError(
                "--data.fill linear is for .ts files: in a series the line to the next value tells what is to be "
                "forecast. There are previous, zero and skip."
            )
        if self.fill == "skip" and not self.is_series:
            raise UserError(f"--data.fill skip is for rows that a series lacks, and the source is '{self.source}'.")
        if self.time and self.target:
            raise UserError("With --data.time all other columns are forecast: no --data.target.")
        if self.is_series and (self.classes or self.examples or self.shuffle_pixels or self.steps):
            raise UserError("--data.classes, .examples, .shuffle-pixels and .steps are not for series to forecast.")
        if self.file == ".txt" and (self.classes or self.examples or self.shuffle_pixels or self.steps):
            raise UserError("--data.classes, .examples, .shuffle-pixels and .steps are not for texts.")
        if self.stream == "yes" and (self.classes or self.examples):
            raise UserError("--data.classes and --data.examples are for data in memory, not for --data.stream yes.")

    @property
    def is_series(self) -> bool:
        """Whether the source is a series to forecast."""
        return self.source == "sunspots" or bool(self.time)

    @property
    def file(self) -> str:
        """The suffix, such as .csv, where the source is a path to such a file, else nothing."""
        if self.source.startswith(TEXT):
            return ".txt"
        suffix = Path(self.source).suffix.lower()
        return suffix if suffix in FILES and not self.source.startswith(("tfds:", "folder:")) else ""

    @property
    def folder(self) -> Path | None:
        """The folder of pictures, where the source is one."""
        if self.source.startswith("folder:"):
            return Path(os.path.expanduser(self.source.removeprefix("folder:")))
        named = self.source in NAMED or self.file or self.source.startswith("tfds:") or not self.source
        return self.path if not named and self.path.is_dir() else None

    @property
    def has_pictures(self) -> bool:
        """Whether the source may hold pictures of any size, which are decoded here."""
        return self.source.startswith("tfds:") or self.folder is not None

    def moved_to(self, folder: str) -> "Data":
        """The same data in another folder."""
        if self.folder is not None:
            return replace(self, source=f"folder:{folder}")
        if self.file:
            return replace(self, source=self.prefix + str(Path(folder) / self.path.name))
        return replace(self, dir=folder)

    def absolute(self) -> "Data":
        """The same data by paths that hold in any working directory, as a run records them."""
        source = self.prefix + str(self.path.resolve()) if self.file else self.source
        if self.folder is not None:
            source = f"folder:{self.folder.resolve()}"
        return replace(self, source=source, dir=str(Path(os.path.expanduser(self.dir)).resolve()) if self.dir else "")

    @property
    def path(self) -> Path:
        """The source as a path, for a file."""
        return Path(os.path.expanduser(self.source.removeprefix(TEXT)))

    @property
    def prefix(self) -> str:
        return TEXT if self.source.startswith(TEXT) else ""
