"""What is known about a run's data, small enough for a JSON file."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import UserError

Kind = Literal["classification", "regression"]


@dataclass(frozen=True)
class Info:
    """What a run records about its data (data.json): enough to prepare inputs and name outputs at prediction time.

    A model is given `(x - x_mean) / x_std`, broadcast on the last axis, and a regression model predicts
    `(y - y_mean) / y_std`.
    """

    source: str
    kind: Kind
    shape: tuple[int, ...]  # of one example: [D], or [H, W, C]
    classes: tuple[str, ...]  # names in the order of the class indices; () for regression
    features: tuple[str, ...]  # names of the columns; () for images
    targets: tuple[str, ...]  # names of the target columns; () for classification
    x_mean: tuple[float, ...]  # of the training split, one for each feature or channel; 0 without standardisation
    x_std: tuple[float, ...]  # likewise; 1 for a constant feature and without standardisation
    y_mean: tuple[float, ...]  # regression: one for each target; else ()
    y_std: tuple[float, ...]
    pixel_max: float  # the value of white in an image, 255 for pictures stored as bytes; 0 for tables
    fingerprint: str  # SHA-256 of shape, dtype and every value of x and y, in the order of the source
    counts: dict[str, int]  # examples in each split

    def to_json(self) -> dict[str, Any]:
        """A dict of plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Info":
        """The inverse of `to_json`. UserError where keys are missing or unknown."""
        expected = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(record, dict) or set(record) != expected:
            odd = ", ".join(sorted(expected ^ set(record))) if isinstance(record, dict) else "no object"
            raise UserError(f"The record of the data (data.json) is damaged or of another version: {odd}.")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
        return cls(**values)
