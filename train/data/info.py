"""What is known about a run's data, small enough for a JSON file."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import UserError

Kind = Literal["classification", "regression", "segmentation", "language", "forecast", "reconstruction"]


@dataclass(frozen=True)
class Info:
    """What a run records about its data (data.json): enough to prepare inputs and name outputs at prediction time.

    A model is given `(x - x_mean) / x_std`, broadcast on the last axis, and a regression model predicts
    `(y - y_mean) / y_std`.
    """

    source: str
    kind: Kind
    shape: tuple[int, ...]  # of one example: [D], [H, W, C], of sequences [T, D], of text [T]
    classes: tuple[str, ...]  # names in the order of the class indices; () for regression
    features: tuple[str, ...]  # names of the columns; () for images
    targets: tuple[str, ...]  # names of the target columns; () where there are classes
    x_mean: tuple[float, ...]  # of the training split, one for each feature or channel; 0 without standardisation
    x_std: tuple[float, ...]  # likewise; 1 for a constant feature and without standardisation
    y_mean: tuple[float, ...]  # regression: one for each target; else (), of forecasts those of x hold
    y_std: tuple[float, ...]
    pixel_max: float  # the value of white in an image, 255 for pictures stored as bytes; 0 for tables
    fingerprint: str  # SHA-256 of shape, dtype and every value of x and y, in the order of the source
    counts: dict[str, int]  # examples in each split
    x_covariance: tuple[float, ...] = ()  # of the colours of RGB training images, 3 x 3 row by row; else ()
    pixel_order: int | None = None  # the seed of the order that the pixels of all images were brought into; None: none
    ragged: bool = False  # examples are sequences of different lengths, of which the longest has T steps
    tokens: Literal["", "characters", "bytes"] = ""  # what a text is made of; the classes are the different ones
    sound: Literal["", "log_mel", "mfcc"] = ""  # recordings were turned into these features
    rate: int = 0  # of recordings, in Hz
    steps: int = 0  # sequences were cut to so many steps; 0: not
    fill: Literal["", "previous", "linear", "zero", "skip"] = ""  # what stands where a number was missing
    horizon: int = 0  # steps of a series to forecast
    time: str = ""  # the column of a series that holds the time
    size: int = 0  # pictures had their short side resized to this and its middle cropped out; 0: taken as they are

    @property
    def is_picture(self) -> bool:
        """Whether an example can be shown as a picture, grey or RGB."""
        return len(self.shape) == 3 and self.shape[-1] in (1, 3)

    def to_json(self) -> dict[str, Any]:
        """A dict of plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Info":
        """The inverse of `to_json`. UserError where keys are missing or unknown."""
        known = {field.name for field in dataclasses.fields(cls)}
        needed = {field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}
        if not isinstance(record, dict) or not needed <= set(record) <= known:
            odd = "no object"
            if isinstance(record, dict):
                odd = ", ".join(sorted((needed - set(record)) | (set(record) - known)))
            raise UserError(f"The record of the data (data.json) is damaged or of another version: {odd}.")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
        return cls(**values)
